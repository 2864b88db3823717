//! Whether packets flow, from a chosen source to a chosen destination.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use kernel::netns::Namespace;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::process::{find_program, run};
use crate::{LabError, Result};

/// Bytes that each side sends in [`tcp`].
const VOLUME: usize = 1 << 20;
/// How long any single step of a transfer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether this machine can ping.
pub fn can_ping() -> bool {
    find_program("ping").is_some()
}

/// One ICMP echo from `source` in `ns` to `target`; an error when no answer comes within a second.
pub fn ping(ns: &str, source: IpAddr, target: IpAddr) -> Result<()> {
    let Some(program) = find_program("ping") else {
        return Err(LabError::new("the program `ping` is missing: install it with `apt-get install iputils-ping`"));
    };
    let output = run(Some(ns), program, &["-n", "-c", "1", "-W", "1", "-I", &source.to_string(), &target.to_string()])?;
    if output.ok() {
        return Ok(());
    }
    Err(LabError::new(format!("no answer from {target} to {source} in {ns}: {}", output.stderr.trim())))
}

/// A TCP connection from `client` (namespace, source address) to `server`, over which each side sends 1 MiB
/// that the other one checks.
pub fn tcp(client: (&str, IpAddr), server: (&str, IpAddr)) -> Result<()> {
    let explain = |e: io::Error| {
        LabError::new(format!("TCP from {} in {} to {} in {}: {e}", client.1, client.0, server.1, server.0))
    };
    let (client_ns, server_ns) = (open(client.0)?, open(server.0)?);
    let address = SocketAddr::new(server.1, 0);
    let listener = server_ns.run(move || TcpListener::bind(address)).and_then(|l| l).map_err(explain)?;
    let target = listener.local_addr().map_err(explain)?;
    let serving = std::thread::spawn(move || exchange(accept(&listener)?, 1, 2));
    let source = client.1;
    let dialled = client_ns.run(move || dial(Some(source), target)).and_then(|s| s).and_then(|s| exchange(s, 2, 1));
    let served = serving.join().unwrap_or_else(|_| Err(io::Error::other("the server's thread panicked")));
    dialled.and(served).map_err(explain)
}

/// Many flows at once: one datagram from each of `flows` ports of `source` in `ns` to a port of `target` where
/// nobody has to answer.
pub fn flows(ns: &str, source: IpAddr, target: IpAddr, flows: usize) -> Result<()> {
    let explain = |e: io::Error| LabError::new(format!("datagrams from {source} in {ns} to {target}: {e}"));
    let send = move || {
        // All sockets stay open until the end, so that each has a port of its own.
        let sockets = (0..flows).map(|_| UdpSocket::bind((source, 0))).collect::<io::Result<Vec<_>>>()?;
        sockets.iter().try_for_each(|s| s.send_to(&[0; 32], (target, 9)).map(drop))
    };
    open(ns)?.run(send).and_then(|sent| sent).map_err(explain)
}

pub(crate) fn open(ns: &str) -> Result<Namespace> {
    match Namespace::open(ns) {
        Ok(Some(ns)) => Ok(ns),
        Ok(None) => Err(LabError::new(format!("there is no namespace {ns}"))),
        Err(e) => Err(LabError::new(format!("namespace {ns} cannot be opened: {e}"))),
    }
}

/// Without a source the kernel chooses one.
pub(crate) fn dial(source: Option<IpAddr>, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    }
    socket.connect_timeout(&SockAddr::from(target), PATIENCE)?;
    Ok(socket.into())
}

/// Accepts one connection, but does not wait for ever: the other side may never get through.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(e) => return Err(e),
        }
    }
}

/// Sends the pattern of `ours` and expects the one of `theirs`, both at once.
fn exchange(stream: TcpStream, ours: u32, theirs: u32) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut sending = stream.try_clone()?;
    let sender = std::thread::spawn(move || {
        sending.write_all(&pattern(ours))?;
        sending.shutdown(std::net::Shutdown::Write)
    });
    let mut received = Vec::with_capacity(VOLUME);
    (&stream).take(VOLUME as u64 + 1).read_to_end(&mut received)?;
    sender.join().unwrap_or_else(|_| Err(io::Error::other("the sending thread panicked")))?;
    if received == pattern(theirs) {
        return Ok(());
    }
    Err(io::Error::other(format!("{} bytes arrived and they are not what was sent", received.len())))
}

/// Bytes that differ along the way, so that loss, repetition and reordering all show.
fn pattern(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..VOLUME).map(|_| next()).collect()
}
