use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

struct Running {
    commands: mpsc::Sender<Command>,
    closing: Option<oneshot::Sender<()>>,
    facts: mpsc::Receiver<Fact>,
    written: mpsc::Receiver<ConnId>,
    task: JoinHandle<()>,
}

const CONN: ConnId = ConnId::Accepted(1);

/// A connection under test and the peer's end of it.
async fn pair(fact_places: usize) -> (Running, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("a bound socket has an address");
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (commands, command_queue) = mpsc::channel(COMMANDS);
    let (closing, closed) = oneshot::channel();
    let (fact_sender, facts) = mpsc::channel(fact_places);
    let (written_sender, written) = mpsc::channel(16);
    let task =
        tokio::spawn(run(CONN, Line::new(ours.expect("connects")), command_queue, closed, fact_sender, written_sender));
    (Running { commands, closing: Some(closing), facts, written, task }, theirs.expect("accepts").0)
}

async fn data(running: &mut Running, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        match running.facts.recv().await {
            Some(Fact::Data { data, .. }) => got.extend_from_slice(&data),
            other => panic!("wanted data, got {other:?}"),
        }
    }
    got
}

#[tokio::test]
async fn bytes_pass_both_ways_and_an_end_of_stream_is_orderly() {
    let (mut running, mut peer) = pair(4).await;
    peer.write_all(b"hello").await.expect("writes");
    assert_eq!(data(&mut running, 5).await, b"hello");

    running.commands.send(Command::Write(Bytes::from_static(b"world"))).await.expect("the task runs");
    assert_eq!(running.written.recv().await, Some(CONN));
    let mut got = [0; 5];
    peer.read_exact(&mut got).await.expect("reads");
    assert_eq!(&got, b"world");

    drop(peer);
    match running.facts.recv().await {
        Some(Fact::Ended { conn: CONN, error: None }) => {}
        other => panic!("wanted an orderly end, got {other:?}"),
    }
}

#[tokio::test]
async fn a_reset_is_told_in_words() {
    let (mut running, peer) = pair(4).await;
    socket_linger_zero(peer);
    match running.facts.recv().await {
        Some(Fact::Ended { error: Some(error), .. }) => assert_eq!(error, "Connection reset by peer"),
        other => panic!("wanted an error, got {other:?}"),
    }
}

fn socket_linger_zero(peer: TcpStream) {
    peer.set_zero_linger().expect("a TCP socket has this option");
}

#[tokio::test]
async fn closing_delivers_the_last_bytes_even_when_the_peer_keeps_sending() {
    let (mut running, mut peer) = pair(1).await;
    // Nobody takes facts any more, so unread bytes pile up in our socket: the case that must not become a reset.
    peer.write_all(&[7; 300_000]).await.expect("fits into the socket buffers");
    running
        .commands
        .send(Command::Finish(vec![Bytes::from_static(b"bye"), Bytes::from_static(b"!")]))
        .await
        .expect("fits");
    running.closing.take().expect("not yet closing").send(()).expect("the task runs");
    let mut got = Vec::new();
    peer.read_to_end(&mut got).await.expect("no reset");
    assert_eq!(got, b"bye!");
    drop(peer);
    while !matches!(running.facts.recv().await, Some(Fact::Ended { error: None, .. })) {}
}

#[tokio::test]
async fn a_peer_that_does_not_read_cannot_hold_up_a_close() {
    let (mut running, peer) = pair(4).await;
    let begin = Instant::now();
    // Far more than the socket buffers of loopback hold: the writer is stuck in it.
    running.commands.send(Command::Write(Bytes::from(vec![0; 64 << 20]))).await.expect("fits");
    running.commands.send(Command::Finish(vec![Bytes::from_static(b"bye")])).await.expect("fits");
    running.closing.take().expect("not yet closing").send(()).expect("the task runs");
    assert!(matches!(running.facts.recv().await, Some(Fact::Ended { error: None, .. })));
    assert!(begin.elapsed() < FLUSH + Duration::from_secs(5));
    drop(peer);
}

#[tokio::test]
async fn a_full_channel_stops_the_reader_until_the_owner_takes_something() {
    const TOTAL: usize = 32 << 20;
    let (mut running, mut peer) = pair(1).await;
    let mut sender = tokio::spawn(async move {
        peer.write_all(&vec![1; TOTAL]).await.expect("the connection stays");
        peer
    });
    // The channel holds one chunk and the reader another: the rest must wait in the peer.
    assert!(timeout(Duration::from_millis(200), &mut sender).await.is_err(), "nothing pushed back");
    assert_eq!(data(&mut running, TOTAL).await.len(), TOTAL);
    sender.await.expect("the sender ends");
}

#[tokio::test]
async fn one_chunk_at_a_time_waits_for_the_owner_however_many_would_fit() {
    const TOTAL: usize = 4 * READ_BUFFER;
    let (mut running, mut peer) = pair(16).await;
    let sender = tokio::spawn(async move {
        peer.write_all(&vec![1; TOTAL]).await.expect("the connection stays");
        peer
    });
    let (first, turn) = match running.facts.recv().await {
        Some(Fact::Data { data, turn, .. }) => (data.len(), turn),
        other => panic!("wanted data, got {other:?}"),
    };
    assert!(first <= READ_BUFFER);
    assert!(timeout(Duration::from_millis(200), running.facts.recv()).await.is_err(), "a second chunk in the queue");
    drop(turn);
    assert_eq!(data(&mut running, TOTAL - first).await.len(), TOTAL - first);
    sender.await.expect("the sender ends");
}

#[tokio::test]
async fn an_owner_that_is_gone_ends_the_task() {
    let (running, mut peer) = pair(4).await;
    let Running { commands, closing, facts, written, task } = running;
    drop((commands, closing, facts, written));
    let mut got = Vec::new();
    // Our side closes or resets; either way the peer learns it.
    let _ = peer.read_to_end(&mut got).await;
    drop(peer);
    task.await.expect("the task ends without a panic");
}
