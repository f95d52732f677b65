#[cfg(feature = "agent")]
use crate::identity::IdentityPolicy;
#[cfg(feature = "agent")]
use crate::identity::testing::Issued;
#[cfg(feature = "agent")]
use crate::node::agent::{Agent, Input};

use super::*;

/// A handshake that began before a reload and ended after it: the reload did not find its peer.
#[cfg(feature = "agent")]
#[tokio::test]
async fn i5_who_was_judged_before_a_reload_is_judged_again_and_a_link_keeps_its_identity() {
    let root = Issued::root(|params| params.not_after = rcgen::date_time_ymd(2045, 1, 1));
    let leaf = |name: &str| root.leaf_of(name, |params| params.not_after = rcgen::date_time_ymd(2045, 1, 1));
    let (own, newer, gone) = (leaf("pc7.branch.example"), leaf("pc7.branch.example"), leaf("gw1.branch.example"));
    let lasting = |params: &mut rcgen::CertificateRevocationListParams| {
        params.next_update = rcgen::date_time_ymd(2045, 1, 1);
    };
    let list = root.list(1, &[&gone], lasting);
    let before = own.identity(&root, &[], IdentityPolicy::default()).unwrap();
    let after = newer.identity(&root, &[&list], IdentityPolicy::default()).unwrap().with_generation(2);
    let peer = Arc::new(before.verify(&[gone.der()], None, crate::identity::testing::now()).unwrap());
    let cell: IdentityCell = Arc::new(Identities::new(before.clone(), crate::session::identities::Showing::AtOnce));
    let (mailbox, mut inbox) = mailbox::<Agent>();
    let mut links = Links::new(mailbox, None, cell.clone());
    let [first, second] = [1, 2].map(LinkId::dialled);
    links.opened(first, before.clone(), peer.clone());
    cell.install(after.clone(), Vec::new());
    links.opened(second, before.clone(), peer.clone());
    let Some(Post::Input(Input::Identity(IdentityInput::Judged(verdicts)))) = inbox.answers.recv().await else {
        panic!("another post");
    };
    assert_eq!(verdicts.len(), 1, "the one that came after the reload");
    assert_eq!(verdicts[0].result.as_ref().unwrap_err().code(), Code::CertificateRevoked);
    assert_eq!(links.identity_of(first).key_hash(), before.key_hash(), "it is signed with what was shown there");
    links.perform(LinkEffect::Close { link: first });
    assert_eq!(links.identity_of(first).key_hash(), after.key_hash());
    assert!(inbox.answers.try_recv().is_err());
}

/// Besides the stream, which is boxed: a gateway has thousands of these tasks.
#[cfg(feature = "agent")]
#[tokio::test]
async fn the_task_of_a_link_is_small() {
    let root = Issued::root(|_| {});
    let identity = root.leaf_of("pc7.branch.example", |_| {}).identity(&root, &[], IdentityPolicy::default()).unwrap();
    let (links, _inbox) = mpsc::channel(1);
    let (_chunks, receiver) = mpsc::channel(1);
    let mut ahead = Ahead::default();
    let bring = move |input: LinkInput| {
        let (taken, before) = ahead.next(&input);
        deliver(links.clone(), input, taken, before)
    };
    let task = drive(tokio::io::empty(), identity, LinkId::dialled(1), receiver, clock::validity, bring);
    let bytes = size_of_val(&task);
    assert!(bytes <= 640, "{bytes} bytes");
}

/// 20,000 agents that come at once are told of in groups, and a link's heartbeat waits for one turn of them.
#[cfg(feature = "agent")]
#[tokio::test]
async fn d7_answers_that_come_in_groups_take_half_a_turn_and_leave_the_other_to_links() {
    let (mailbox, mut inbox) = mailbox::<Agent>();
    mailbox.post_all((0..1_000).map(|_| Input::Identity(IdentityInput::Judged(Vec::new()))).collect());
    assert!(deliver(mailbox.links.clone(), LinkInput::Written { link: LinkId::dialled(1) }, None, None).await);
    let timer = tokio::time::sleep(Duration::from_secs(3600));
    tokio::pin!(timer);
    let mut told = 0;
    for turn in 0..1_000 {
        let mut posts = VecDeque::new();
        assert!(inbox.wait(&mut posts, timer.as_mut()).await);
        let links = posts.iter().filter(|post| matches!(post, Post::Link(_))).count();
        assert_eq!(links, usize::from(turn == 0), "turn {turn}");
        told += posts.iter().map(Post::inputs).sum::<usize>() - links;
        assert!(told <= TURN_POSTS_MAX * (turn + 1), "{told} in {turn} turns");
        if told == 1_000 {
            return;
        }
    }
    panic!("{told} were told");
}

#[test]
fn h17_a_flood_of_strangers_is_told_in_few_lines_and_counted() {
    let mut turned_away = TurnedAway::default();
    let start = Instant::from_micros(1);
    let told = (0..100_000).filter_map(|_| turned_away.tell(start)).collect::<Vec<_>>();
    assert_eq!(told, vec![0; TOLD_MAX as usize]);
    assert_eq!(turned_away.tell(start + TOLD_AGAIN_AFTER), Some(100_000 - u64::from(TOLD_MAX)));
    assert_eq!(turned_away.tell(start + TOLD_AGAIN_AFTER), Some(0));
}
