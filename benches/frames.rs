//! DATA frames: writing runs of messages, cutting and reading them.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use farpost::bench::{Numbers, decode};

/// Messages per round: some 64 frames of 1 KiB messages.
const COUNT: u64 = 1000;

fn frames(criterion: &mut Criterion) {
    for bytes in [256, 1024] {
        let messages = Numbers::new(COUNT, bytes);
        let mut stream = BytesMut::new();
        messages.encode(&mut stream);
        let throughput = Throughput::ElementsAndBytes { elements: COUNT, bytes: COUNT * bytes as u64 };

        let mut group = criterion.benchmark_group("frames");
        group.throughput(throughput);
        group.bench_function(BenchmarkId::new("encode", bytes), |bencher| {
            let mut out = BytesMut::with_capacity(stream.len());
            bencher.iter(|| {
                out.clear();
                black_box(messages.encode(&mut out))
            });
        });
        group.bench_function(BenchmarkId::new("decode", bytes), |bencher| {
            let copy = || BytesMut::from(&stream[..]);
            let read = |mut stream: BytesMut| {
                let read = decode(&mut stream).expect("frames that were just made");
                assert_eq!(read, (COUNT, COUNT * bytes as u64));
            };
            bencher.iter_batched(copy, read, BatchSize::LargeInput);
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_secs(1)).measurement_time(std::time::Duration::from_secs(2));
    targets = frames
}
criterion_main!(benches);
