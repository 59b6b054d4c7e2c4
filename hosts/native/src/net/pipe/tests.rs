//! What a WebSocket holds and lets trickle out, and how a pipe is closed.

use std::time::Duration;

use futures_util::SinkExt as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{accept_async_with_config, client_async};

use super::*;

/// Long enough for a slow machine; a test that waits it out has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both ends of a connection, the client's first. Whoever else comes to the port is passed over.
async fn connect(listener: &TcpListener, dialling: TcpSocket) -> (TcpStream, TcpStream) {
    let client = dialling.connect(listener.local_addr().expect("known")).await.expect("connected");
    loop {
        let (server, from) = listener.accept().await.expect("accepted");
        if from == client.local_addr().expect("known") {
            return (client, server);
        }
    }
}

/// A server's pipe over a WebSocket and the client's bare socket, both with small buffers.
async fn websocket() -> (Pipe, TcpStream) {
    let listening = TcpSocket::new_v4().expect("a socket");
    listening.set_send_buffer_size(16 * 1024).expect("set");
    listening.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let listener = listening.listen(8).expect("listens");
    let dialling = TcpSocket::new_v4().expect("a socket");
    dialling.set_recv_buffer_size(16 * 1024).expect("set");
    let upgraded = tokio::time::timeout(PATIENCE, async {
        let (client, server) = connect(&listener, dialling).await;
        // As sockets are here: without it small buffers stand still for a fifth of a second at a time.
        client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).expect("set");
        tokio::join!(
            client_async("ws://localhost/", client),
            accept_async_with_config(Metered::new(server), Some(Pipe::websocket_config())),
        )
    });
    let (client, server) = upgraded.await.expect("in time");
    (Pipe::websocket(server.expect("upgraded")), client.expect("upgraded").0.into_inner())
}

/// The head of a client's binary frame of `len` bytes, with a mask of zeros.
fn head(len: u64) -> Vec<u8> {
    [&[0x82, 0x80 | 127], len.to_be_bytes().as_slice(), &[0; 4]].concat()
}

/// Lets the pipe receive what is there; the bytes of a whole message, if there is one.
async fn receive(pipe: &mut Pipe) -> Option<Vec<u8>> {
    let mut taken = Vec::new();
    let receiving = std::future::poll_fn(|cx| {
        pipe.poll_receive(cx, |bytes| {
            taken.extend_from_slice(bytes);
            Ok::<_, io::Error>(())
        })
    });
    let received = tokio::time::timeout(Duration::from_millis(50), receiving).await;
    received.ok().map(|received| received.expect("received"))?;
    Some(taken)
}

#[tokio::test]
async fn what_has_come_of_a_websocket_message_is_counted_until_it_is_whole() {
    let (mut pipe, mut client) = websocket().await;
    assert_eq!(pipe.unfinished(), 0);
    let mut held = 0;
    client.write_all(&head(40_000)).await.expect("sent");
    for _ in 0..39 {
        client.write_all(&[7; 1_000]).await.expect("sent");
        assert_eq!(receive(&mut pipe).await, None);
        assert!(pipe.unfinished() > held, "{held}");
        held = pipe.unfinished();
    }
    assert!((39_000..39_100).contains(&held), "{held}");
    client.write_all(&[7; 1_000]).await.expect("sent");
    assert_eq!(receive(&mut pipe).await, Some(vec![7; 40_000]));
    assert_eq!(pipe.unfinished(), 0);
}

#[tokio::test]
async fn what_trickles_out_of_a_large_websocket_message_can_be_seen() {
    let (mut pipe, mut client) = websocket().await;
    let mut out = Outgoing::default();
    // Several times what both buffers take.
    out.buffer().extend_from_slice(&[7; 250_000]);
    let mut seen = vec![pipe.trickled()];
    let sending = std::future::poll_fn(|cx| {
        let sent = pipe.poll_send(cx, &mut out);
        if sent.is_pending() {
            seen.push(pipe.trickled());
        }
        sent
    });
    let reading = async {
        let mut taken = vec![0; 4_000];
        while client.read(&mut taken).await.expect("read") > 0 {}
    };
    let sent = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            sent = sending => sent.expect("sent"),
            () = reading => panic!("the pipe is closed"),
        }
    });
    assert_eq!(sent.await.expect("in time"), 250_000);
    seen.dedup();
    // What the buffers took at once, and more than once what they took after it.
    assert!(seen.len() > 3, "{seen:?}");
}

#[tokio::test]
async fn a_pipe_is_closed_after_what_was_sent_whatever_the_peer_still_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let (mut client, server) = connect(&listener, TcpSocket::new_v4().expect("a socket")).await;
    let mut out = Outgoing::default();
    out.buffer().extend_from_slice(&[7; 200_000]);
    let mut pipe = Pipe::Tcp(server);
    while !out.is_empty() {
        std::future::poll_fn(|cx| pipe.poll_send(cx, &mut out)).await.expect("sent");
    }
    // Nothing of this is read before the pipe is closed.
    client.write_all(&[1; 100_000]).await.expect("sent");
    let closing = tokio::spawn(pipe.close());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.expect("no reset");
    assert_eq!(all.len(), 200_000);
    drop(client);
    closing.await.expect("closed");
}

#[tokio::test]
async fn a_websocket_is_closed_after_what_was_sent_whatever_the_peer_still_sends() {
    let (mut pipe, client) = websocket().await;
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let mut out = Outgoing::default();
    out.buffer().extend_from_slice(&[7; 10_000]);
    std::future::poll_fn(|cx| pipe.poll_send(cx, &mut out)).await.expect("sent");
    for _ in 0..5 {
        client.send(Message::Binary(vec![1; 1_000].into())).await.expect("sent");
    }
    let closing = tokio::spawn(pipe.close());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.next().await.expect("a message").expect("no reset").into_data(), vec![7; 10_000]);
    assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
    assert!(client.next().await.is_none(), "and nothing after it");
    closing.await.expect("closed");
}

#[tokio::test]
async fn a_ping_in_the_middle_of_a_message_does_not_make_it_whole() {
    let (mut pipe, mut client) = websocket().await;
    // Not the last fragment of a binary message, and a ping without a payload, both with a mask of zeros.
    let mut fragment = head(30_000);
    fragment[0] = 0x02;
    client.write_all(&[fragment, vec![7; 30_000], vec![0x89, 0x80, 0, 0, 0, 0]].concat()).await.expect("sent");
    let begun = std::time::Instant::now();
    while pipe.unfinished() < 30_000 && begun.elapsed() < PATIENCE {
        assert_eq!(receive(&mut pipe).await, None);
    }
    assert_eq!(receive(&mut pipe).await, None);
    assert!((30_000..30_100).contains(&pipe.unfinished()), "{}", pipe.unfinished());
}
