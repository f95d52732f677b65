//! The interface as C calls it, on a port that the tests drive.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call here is one that C could make: the test is the reason"
)]

mod null;

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use nix::sys::signal::{SigSet, Signal};
use tokio::sync::watch;

use super::arguments::{Sized32, fill, options};
use super::calls::*;
use super::config::*;
use super::error::*;
use super::event::*;
use super::port::{Incoming, Port, Stage, Watermarks};
use super::session::*;
use super::status::FARPOST_OK;
use super::threads::{Threads, may_block};
use super::version::*;
use crate::code::Code;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::message::{Message, Sequence};

/// A node that does what the test says.
#[derive(Default)]
struct Node {
    state: Mutex<State>,
    bells: Mutex<Option<Arc<Bells>>>,
    marks: watch::Sender<Watermarks>,
}

#[derive(Default)]
struct State {
    space: u64,
    taken: Vec<Message>,
    events: VecDeque<Event>,
    inbox: VecDeque<Bytes>,
    acknowledged: Vec<u64>,
    marks: Watermarks,
    panics: bool,
    /// After this many more looks into an empty inbox a message comes, just when nobody expects it.
    comes_after_looks: Option<usize>,
    /// Space comes right after the next refusal.
    space_after_refusal: bool,
}

struct Letter(Arc<Node>, u64, Bytes);

impl Incoming for Letter {
    fn payload(&self) -> Bytes {
        self.2.clone()
    }

    fn sequence(&self) -> Sequence {
        Sequence(self.1)
    }

    fn acknowledge(self: Box<Self>) -> Result<()> {
        self.0.state.lock().unwrap().acknowledged.push(self.1);
        Ok(())
    }
}

struct Handle(Arc<Node>);

impl Port for Handle {
    fn try_send(&self, message: Message) -> Result<Sequence> {
        let mut state = self.0.state.lock().unwrap();
        let panics = state.panics;
        if state.taken.len() as u64 >= state.space && !panics {
            let comes = std::mem::take(&mut state.space_after_refusal);
            drop(state);
            if comes {
                self.0.change(|state| state.space += 1);
            }
            return Err(Error::new(Code::QueueFull));
        }
        state.taken.push(message);
        let sequence = Sequence(state.taken.len() as u64);
        drop(state);
        assert!(!panics, "on purpose");
        Ok(sequence)
    }

    fn watermarks(&self) -> Watermarks {
        self.0.state.lock().unwrap().marks
    }

    fn reached(&self, stage: Stage, sequence: Option<Sequence>) -> BoxFuture<'static, Result<()>> {
        let goal = sequence.unwrap_or(Sequence(self.0.state.lock().unwrap().taken.len() as u64));
        let mut marks = self.0.marks.subscribe();
        async move {
            let covers = |marks: &Watermarks| match stage {
                Stage::Stored => marks.stored >= goal,
                Stage::Relayed => marks.relayed.max(marks.delivered) >= goal,
                Stage::Delivered => marks.delivered >= goal,
            };
            marks.wait_for(covers).await.map(|_| ()).map_err(|_| Error::new(Code::Closed))
        }
        .boxed()
    }

    fn try_event(&self) -> Option<Event> {
        self.0.state.lock().unwrap().events.pop_front()
    }

    fn try_receive(&self) -> Option<Box<dyn Incoming>> {
        let mut state = self.0.state.lock().unwrap();
        let payload = state.inbox.pop_front();
        let looks = state.comes_after_looks.take_if(|_| payload.is_none());
        state.comes_after_looks = looks.and_then(|looks| looks.checked_sub(1)).or(state.comes_after_looks);
        drop(state);
        if looks == Some(0) {
            self.0.change(|state| state.inbox.push_back(Bytes::new()));
        }
        Some(Box::new(Letter(Arc::clone(&self.0), 7, payload?)))
    }

    fn reload_identity(&self) -> BoxFuture<'static, Result<()>> {
        // As long as nothing was taken, it takes for ever.
        let taken = self.0.state.lock().unwrap().taken.len();
        async move { if taken == 0 { std::future::pending().await } else { Err(Error::new(Code::KeyMismatch)) } }
            .boxed()
    }

    fn close(&self, _within: Duration) -> BoxFuture<'static, Result<()>> {
        async { Ok(()) }.boxed()
    }
}

impl Node {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state);
        self.marks.send_replace(state.marks);
        drop(state);
        self.bells.lock().unwrap().as_ref().unwrap().notify();
    }
}

/// A session on a node, freed at the end.
struct Opened {
    node: Arc<Node>,
    session: *mut Session,
}

impl Opened {
    fn new() -> Self {
        let node = Arc::new(Node::default());
        node.state.lock().unwrap().space = 1000;
        let session = Session::open(true, |_, bells| {
            *node.bells.lock().unwrap() = Some(bells);
            Ok(Arc::new(Handle(Arc::clone(&node))))
        });
        Self { node, session: Box::into_raw(Box::new(session.unwrap())) }
    }

    fn send(&self, payload: &[u8]) -> i32 {
        let (session, data, length) = (self.session, payload.as_ptr(), payload.len());
        unsafe { farpost_session_send(session, data, length, null(), null_mut(), null_mut()) }
    }

    /// One poll; the kind, or the negative status.
    fn poll(&self, timeout_ms: i32) -> i32 {
        let mut event = null_mut();
        let status = unsafe { farpost_session_poll(self.session, timeout_ms, &raw mut event, null_mut()) };
        let kind = unsafe { farpost_event_kind(event) };
        unsafe { farpost_event_free(event) };
        if status == FARPOST_OK { kind } else { status }
    }

    fn readable(&self) -> bool {
        let descriptor = unsafe { farpost_session_fd(self.session) };
        let path = format!("/proc/self/fdinfo/{descriptor}");
        let text = std::fs::read_to_string(path).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("eventfd-count:")).unwrap().trim().to_owned();
        u64::from_str_radix(&count, 16).unwrap() > 0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        unsafe { farpost_session_free(self.session) };
    }
}

fn status(code: Code) -> i32 {
    -i32::from(code.number())
}

fn shown(text: *const c_char) -> String {
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}

fn config() -> *mut ConfigObject {
    let mut config = null_mut();
    assert_eq!(unsafe { farpost_config_new(FARPOST_ROLE_AGENT, &raw mut config, null_mut()) }, FARPOST_OK);
    config
}

fn event(node: &Opened) -> *mut EventObject {
    node.node.change(|state| state.inbox.push_back(Bytes::from_static(b"down")));
    let mut event = null_mut();
    assert_eq!(unsafe { farpost_session_poll(node.session, 0, &raw mut event, null_mut()) }, FARPOST_OK);
    event
}

#[test]
fn c2_a_struct_of_any_release_is_read_as_far_as_both_know_it() {
    let read = |size: u32, tail: u32| {
        let raw = [size, 3, tail, 0];
        unsafe { options::<SendOptions>(raw.as_ptr().cast(), "options") }
    };
    assert_eq!(read(8, 0).unwrap().priority, FARPOST_PRIORITY_CRITICAL);
    assert_eq!(read(8, 9).unwrap().priority, FARPOST_PRIORITY_CRITICAL, "what is behind the struct is not read");
    assert_eq!(read(16, 0).unwrap().priority, FARPOST_PRIORITY_CRITICAL, "a newer caller that uses nothing new");
    assert_eq!(read(16, 9).unwrap_err().code(), Code::ArgumentInvalid, "a newer caller that does");
    for size in [0, 1, 4, 7, 4097, u32::MAX] {
        assert_eq!(read(size, 0).unwrap_err().code(), Code::ArgumentInvalid, "{size}");
    }
    assert_eq!(unsafe { options::<SendOptions>(null(), "options") }.unwrap().priority, FARPOST_PRIORITY_DEFAULT);
}

#[test]
fn c2_a_struct_of_any_release_is_written_no_further_than_it_says() {
    let value = Receipt { struct_size: 0, durable: 1, stored: 5, relayed: 4, delivered: 3 };
    for size in 32..=48_usize {
        let mut raw = [0x55_u8; 64];
        raw[..4].copy_from_slice(&u32::try_from(size).unwrap().to_ne_bytes());
        unsafe { fill(raw.as_mut_ptr().cast::<Receipt>(), "receipt", &value) }.unwrap();
        assert_eq!(usize::try_from(u32::from_ne_bytes(raw[..4].try_into().unwrap())).unwrap(), size);
        assert_eq!(raw[24..32], 3_u64.to_ne_bytes());
        assert!(raw[32..size].iter().all(|byte| *byte == 0) && raw[size..].iter().all(|byte| *byte == 0x55));
    }
    let mut small = [0_u64; 4];
    for size in 0..32 {
        small[0] = size;
        let refused = unsafe { fill(small.as_mut_ptr().cast::<Receipt>(), "receipt", &value) };
        assert_eq!(refused.unwrap_err().code(), Code::ArgumentInvalid, "{size}");
        assert_eq!(small[1..], [0, 0, 0], "{size}");
    }
}

#[test]
fn the_descriptor_is_readable_exactly_while_something_waits() {
    let opened = Opened::new();
    assert!(!opened.readable());
    assert_eq!(opened.poll(0), status(Code::WouldBlock));
    opened.node.change(|state| {
        state.events.push_back(Event::new(Code::LinkUp, "gw1", ""));
        state.events.push_back(Event::new(Code::FailedOver, "gw2", ""));
        state.inbox.push_back(Bytes::new());
    });
    for kind in [FARPOST_EVENT_NOTICE, FARPOST_EVENT_NOTICE, FARPOST_EVENT_MESSAGE] {
        assert!(opened.readable());
        assert_eq!(opened.poll(0), kind);
    }
    assert!(!opened.readable());
    assert_eq!(opened.poll(0), status(Code::WouldBlock));
    assert_eq!(unsafe { farpost_session_close(opened.session, 1000, null_mut()) }, FARPOST_OK);
    assert!(opened.readable(), "a closed session wakes whoever waits for it");
    assert_eq!(opened.poll(-1), status(Code::Closed));
    assert!(opened.readable());
}

#[test]
fn a_full_queue_is_told_and_so_is_its_space() {
    let opened = Opened::new();
    opened.node.state.lock().unwrap().space = 2;
    assert_eq!([opened.send(b"a"), opened.send(b"")], [FARPOST_OK, FARPOST_OK]);
    assert_eq!([opened.send(b"b"), opened.send(b"b")], [status(Code::QueueFull); 2]);
    assert_eq!(opened.poll(0), status(Code::WouldBlock), "no space yet");
    opened.node.change(|state| state.space = 3);
    assert_eq!([opened.poll(-1), opened.poll(0)], [FARPOST_EVENT_WRITABLE, status(Code::WouldBlock)]);
    assert_eq!(opened.send(b"b"), FARPOST_OK);
    opened.node.change(|state| state.space = 9);
    assert_eq!(opened.poll(0), status(Code::WouldBlock), "nobody asked");
}

#[test]
fn what_c_sends_arrives_with_its_priority_and_number() {
    let opened = Opened::new();
    let mut sequence = 0_u64;
    for (number, priority) in (1..).zip([0, 1, 2, 3]) {
        let options = SendOptions { struct_size: 8, priority };
        let payload = [7_u8; 3];
        let session = opened.session;
        let sent = unsafe {
            farpost_session_send(session, payload.as_ptr(), 3, &raw const options, &raw mut sequence, null_mut())
        };
        assert_eq!((sent, sequence), (FARPOST_OK, number));
    }
    let taken = std::mem::take(&mut opened.node.state.lock().unwrap().taken);
    let priorities: Vec<u8> = taken.iter().map(|message| message.priority as u8).collect();
    assert_eq!(priorities, [1, 0, 1, 2], "0 is the default: normal");
    assert!(taken.iter().all(|message| message.payload()[..] == [7, 7, 7]));
    for priority in [-1, 4, i32::MAX] {
        let options = SendOptions { struct_size: 8, priority };
        let refused =
            unsafe { farpost_session_send(opened.session, null(), 0, &raw const options, null_mut(), null_mut()) };
        assert_eq!(refused, status(Code::ArgumentInvalid));
    }
    let huge =
        unsafe { farpost_session_send(opened.session, b"x".as_ptr(), usize::MAX, null(), null_mut(), null_mut()) };
    assert_eq!(huge, status(Code::MessageTooLarge), "refused before a byte is read");
}

#[test]
fn c1_a_reload_of_the_identity_says_what_is_wrong_and_waits_no_longer_than_it_says() {
    let opened = Opened::new();
    let reload = |timeout| unsafe { farpost_session_reload_identity(opened.session, timeout, null_mut()) };
    assert_eq!(reload(5), status(Code::TimedOut));
    assert_eq!(opened.send(b"a"), FARPOST_OK);
    assert_eq!(reload(-1), status(Code::KeyMismatch));
    unsafe { farpost_session_close(opened.session, 0, null_mut()) };
    assert_eq!(reload(-1), status(Code::Closed));
}

#[test]
fn d2_flush_waits_for_the_stage_it_was_asked_for() {
    let opened = Opened::new();
    let flush = |stage, sequence, timeout| unsafe {
        farpost_session_flush(opened.session, stage, sequence, timeout, null_mut())
    };
    assert_eq!(flush(FARPOST_STAGE_DELIVERED, 0, 0), FARPOST_OK, "nothing was sent");
    assert_eq!([opened.send(b"a"), opened.send(b"b")], [FARPOST_OK; 2]);
    assert_eq!(flush(FARPOST_STAGE_STORED, 0, 5), status(Code::TimedOut));
    opened.node.change(|state| state.marks.stored = Sequence(2));
    assert_eq!(flush(FARPOST_STAGE_STORED, 0, 0), FARPOST_OK);
    opened.node.change(|state| state.marks.delivered = Sequence(1));
    assert_eq!(flush(FARPOST_STAGE_RELAYED, 1, 0), FARPOST_OK, "what is delivered went through a gateway");
    assert_eq!(flush(FARPOST_STAGE_DELIVERED, 2, 1), status(Code::TimedOut));
    assert_eq!(flush(0, 1, 0), status(Code::ArgumentInvalid));
    let node = Arc::clone(&opened.node);
    let deliver = std::thread::spawn(move || node.change(|state| state.marks.delivered = Sequence(2)));
    assert_eq!(flush(FARPOST_STAGE_DELIVERED, 0, -1), FARPOST_OK);
    deliver.join().unwrap();
    let mut receipt = Receipt { struct_size: 32, ..Receipt::defaults() };
    assert_eq!(unsafe { farpost_session_receipt(opened.session, &raw mut receipt, null_mut()) }, FARPOST_OK);
    assert_eq!(receipt, Receipt { struct_size: 32, durable: 1, stored: 2, relayed: 0, delivered: 2 });
}

#[test]
fn c1_a_panic_poisons_its_session_and_no_other() {
    let (opened, other) = (Opened::new(), Opened::new());
    opened.node.state.lock().unwrap().panics = true;
    let mut error = null_mut();
    let session = opened.session;
    let got = unsafe { farpost_session_send(session, null(), 0, null(), null_mut(), &raw mut error) };
    assert_eq!((got, unsafe { farpost_error_code(error) }), (status(Code::Internal), 9001));
    assert!(shown(unsafe { farpost_error_found(error) }).contains("on purpose"));
    assert!(unsafe { farpost_error_is_fatal(error) });
    unsafe { farpost_error_free(error) };
    assert_eq!([opened.send(b"x"), opened.poll(0)], [status(Code::Poisoned); 2]);
    assert_eq!(unsafe { farpost_session_close(session, 0, null_mut()) }, FARPOST_OK, "it can be closed");
    assert_eq!(other.send(b"x"), FARPOST_OK);
}

#[test]
fn a_wait_ends_by_a_wakeup_by_news_by_its_time_and_by_close() {
    let opened = Opened::new();
    let session = opened.session as usize;
    unsafe { farpost_session_wakeup(opened.session) };
    assert!(opened.readable());
    assert_eq!([opened.poll(-1), opened.poll(0)], [FARPOST_EVENT_WAKEUP, status(Code::WouldBlock)]);
    let waker = std::thread::spawn(move || unsafe { farpost_session_wakeup(session as *const Session) });
    assert_eq!(opened.poll(-1), FARPOST_EVENT_WAKEUP);
    waker.join().unwrap();
    let start = Instant::now();
    assert_eq!(opened.poll(20), status(Code::WouldBlock));
    assert!(start.elapsed() >= Duration::from_millis(20));
    let closer = std::thread::spawn(move || unsafe { farpost_session_close(session as *mut Session, -1, null_mut()) });
    assert_eq!(opened.poll(-1), status(Code::Closed));
    assert_eq!(closer.join().unwrap(), FARPOST_OK);
    assert_eq!(opened.send(b"x"), status(Code::Closed));
    assert_eq!(unsafe { farpost_session_close(opened.session, 0, null_mut()) }, FARPOST_OK, "a repeat is harmless");
}

#[test]
fn a_message_that_comes_between_any_two_looks_is_taken_or_announced() {
    for waiting in 0..3 {
        for looks in 0..6 {
            let opened = Opened::new();
            opened.node.change(|state| {
                state.inbox.extend(vec![Bytes::new(); waiting]);
                state.comes_after_looks = Some(looks);
            });
            let mut taken = 0;
            for _ in 0..10 {
                taken += usize::from(opened.poll(0) == FARPOST_EVENT_MESSAGE);
                let come = waiting + usize::from(opened.node.state.lock().unwrap().comes_after_looks.is_none());
                assert!(taken == come || opened.readable(), "{waiting} waiting, one more after {looks} looks");
            }
            assert_eq!(taken, waiting + 1, "{waiting} waiting, one more after {looks} looks");
        }
    }
}

#[test]
fn space_that_comes_right_after_the_refusal_is_used() {
    let opened = Opened::new();
    opened.node.change(|state| (state.space, state.space_after_refusal) = (0, true));
    assert_eq!(opened.send(b"x"), FARPOST_OK);
}

#[test]
fn no_ring_is_lost_whatever_the_threads_do() {
    let opened = Opened::new();
    let node = Arc::clone(&opened.node);
    let writer = std::thread::spawn(move || {
        for _ in 0..5000 {
            node.change(|state| state.inbox.push_back(Bytes::new()));
        }
    });
    for taken in 0..5000 {
        loop {
            match opened.poll(10_000) {
                FARPOST_EVENT_MESSAGE => break,
                other => assert_ne!(other, status(Code::WouldBlock), "slept through message {taken}"),
            }
        }
    }
    writer.join().unwrap();
}

#[test]
fn an_event_outlives_its_session_and_owns_what_it_shows() {
    let opened = Opened::new();
    let node = Arc::clone(&opened.node);
    let letter = event(&opened);
    opened.node.change(|state| state.events.push_back(Event::new(Code::LinkSilent, "ms1\0x", "30 s")));
    let mut notice = null_mut();
    assert_eq!(unsafe { farpost_session_poll(opened.session, 0, &raw mut notice, null_mut()) }, FARPOST_OK);
    drop(opened);
    unsafe {
        assert_eq!((farpost_event_kind(notice), farpost_event_code(notice)), (FARPOST_EVENT_NOTICE, 2103));
        assert_eq!(farpost_event_severity(notice), FARPOST_SEVERITY_WARNING);
        assert_eq!(farpost_event_operations_manager(notice), 20022);
        assert_eq!(shown(farpost_event_name(notice)), "LinkSilent");
        assert_eq!(shown(farpost_event_subject(notice)), "ms1\u{fffd}x");
        assert!(shown(farpost_event_message(notice)).contains("FP2103"));
        assert_eq!(farpost_event_acknowledge(notice, null_mut()), status(Code::ArgumentInvalid));
        assert!(farpost_event_payload(notice, null_mut()).is_null());
        let mut length = 0;
        let bytes = farpost_event_payload(letter, &raw mut length);
        assert_eq!(std::slice::from_raw_parts(bytes, length), b"down");
        assert_eq!(farpost_event_sequence(letter), 7);
        assert_eq!(
            [farpost_event_acknowledge(letter, null_mut()), farpost_event_acknowledge(letter, null_mut())],
            [0; 2]
        );
        farpost_event_free(notice);
        farpost_event_free(letter);
    }
    assert_eq!(node.state.lock().unwrap().acknowledged, [7], "once");
}

#[test]
fn a_forked_child_is_refused_everywhere() {
    let opened = Opened::new();
    let home = std::process::id();
    unsafe { (*opened.session).home = home + 1 };
    assert_eq!([opened.send(b"x"), opened.poll(-1)], [status(Code::Forked); 2]);
    assert_eq!(unsafe { farpost_session_fd(opened.session) }, -1);
    assert_eq!(unsafe { farpost_session_close(opened.session, -1, null_mut()) }, status(Code::Forked));
    unsafe { (*opened.session).home = home };
    assert_eq!(opened.send(b"x"), FARPOST_OK);
}

#[test]
fn the_librarys_threads_have_names_take_no_signals_and_may_not_block() {
    let threads = Threads::start().unwrap();
    let before = SigSet::thread_get_mask().unwrap();
    let (name, mask, blocking) = threads
        .run(None, async {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            (name, SigSet::thread_get_mask().unwrap(), may_block())
        })
        .unwrap();
    assert!(name.starts_with("farpost-io-"), "{name}");
    for signal in [Signal::SIGPIPE, Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD, Signal::SIGALRM] {
        assert!(mask.contains(signal), "{signal}");
    }
    for signal in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGABRT] {
        assert!(!mask.contains(signal), "{signal}");
    }
    assert_eq!(blocking.unwrap_err().code(), Code::WrongThread);
    assert!(may_block().is_ok());
    assert_eq!(SigSet::thread_get_mask().unwrap(), before, "the caller's mask is as it was");
    let late = threads.run(Some(Duration::ZERO), std::future::pending::<()>());
    assert_eq!(late.unwrap_err().code(), Code::TimedOut);
    assert_eq!(threads.run(None, async { panic!("on purpose") }).unwrap_or_else(|error| error.code()), Code::Internal);
    threads.finish(());
}

#[test]
fn c1_a_blocking_call_on_a_thread_of_the_library_is_refused_and_the_others_work() {
    let (opened, threads) = (Opened::new(), Threads::start().unwrap());
    let (session, config) = (opened.session as usize, config() as usize);
    let called = threads.run(None, async move {
        let (session, config) = (session as *mut Session, config as *mut ConfigObject);
        let (mut event, mut other, mut sequence) = (null_mut(), null_mut(), 0);
        unsafe {
            let refused = [
                farpost_session_open(config, &raw mut other, null_mut()),
                farpost_session_poll(session, -1, &raw mut event, null_mut()),
                farpost_session_flush(session, FARPOST_STAGE_DELIVERED, 0, -1, null_mut()),
                farpost_session_close(session, -1, null_mut()),
            ];
            let polled = farpost_session_poll(session, 0, &raw mut event, null_mut());
            let sent = farpost_session_send(session, null(), 0, null(), &raw mut sequence, null_mut());
            farpost_config_free(config);
            (refused, polled, sent, sequence)
        }
    });
    let (refused, polled, sent, sequence) = called.unwrap();
    assert_eq!(refused, [status(Code::WrongThread); 4]);
    assert_eq!((polled, sent, sequence), (status(Code::WouldBlock), FARPOST_OK, 1));
    threads.finish(());
    assert_eq!(opened.send(b"x"), FARPOST_OK, "a refused close closes nothing");
}

#[test]
fn an_error_says_what_was_found_what_was_expected_and_what_to_do() {
    let config = config();
    let (key, value) = (CString::new("upstream.primry").unwrap(), CString::new("x").unwrap());
    let mut error = null_mut();
    let got = unsafe { farpost_config_set(config, key.as_ptr(), value.as_ptr(), &raw mut error) };
    assert_eq!(got, status(Code::ConfigUnknownKey));
    unsafe {
        assert_eq!(farpost_error_code(error), -got);
        assert_eq!(shown(farpost_error_name(error)), "ConfigUnknownKey");
        assert!(shown(farpost_error_message(error)).starts_with("FP5001 "));
        assert!(!shown(farpost_error_remedy(error)).is_empty());
        assert!(!farpost_error_is_retriable(error) && !farpost_error_is_fatal(error));
        farpost_error_free(error);
    }
    let bad = CString::new([b'a', 0xff]).unwrap();
    assert_eq!(unsafe { farpost_config_set(config, bad.as_ptr(), value.as_ptr(), null_mut()) }, status(Code::NotUtf8));
    for role in [0, -1, 4] {
        let mut none = null_mut();
        let refused = unsafe { farpost_config_new(role, &raw mut none, null_mut()) };
        assert_eq!((refused, none.is_null()), (status(Code::ArgumentInvalid), true));
    }
    unsafe { farpost_config_free(config) };
}

#[test]
fn a_gateways_session_is_refused_until_there_is_one() {
    let (mut config, mut session) = (null_mut(), null_mut());
    unsafe {
        assert_eq!(farpost_config_new(FARPOST_ROLE_GATEWAY, &raw mut config, null_mut()), FARPOST_OK);
        assert_eq!(farpost_session_open(config, &raw mut session, null_mut()), status(Code::RoleWrong));
        farpost_config_free(config);
    }
    assert!(session.is_null());
}

#[test]
fn header_library_and_crate_have_one_version() {
    let header = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/include/farpost.h")).unwrap();
    let version = shown(farpost_version());
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert!(header.contains(&format!("#define FARPOST_VERSION \"{version}\"\n")));
    assert!(header.contains(&format!("#define FARPOST_VERSION_NUMBER {}\n", farpost_version_number())));
    assert!(header.contains(&format!("#define FARPOST_ABI_VERSION {}\n", farpost_abi_version())));
    assert!(farpost_abi_is_compatible(FARPOST_ABI_VERSION) && !farpost_abi_is_compatible(FARPOST_ABI_VERSION + 1));
    for code in Code::ALL {
        assert!(header.contains(&format!(" {}\n", code.number())), "{code} is not in the header");
    }
}
