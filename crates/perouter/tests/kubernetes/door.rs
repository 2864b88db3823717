//! The way from a node's namespace to the API server, which listens in the machine's own: a door that can be shut.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use kernel::netns::Namespace;

/// Forwards connections to a port of 127.0.0.1 in a namespace to the same port in ours, until it is dropped.
pub(crate) struct Door {
    shared: Arc<Shared>,
}

struct Shared {
    port: u16,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: bool,
    gone: bool,
    streams: Vec<TcpStream>,
}

impl Door {
    pub(crate) fn new(ns: &str, port: u16) -> Self {
        let namespace = Namespace::open(ns).unwrap().expect("the namespace is there");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = namespace.run(move || TcpListener::bind(address)).unwrap().unwrap();
        let state = State { open: true, ..State::default() };
        let shared = Arc::new(Shared { port, state: Mutex::new(state) });
        let its = shared.clone();
        thread::spawn(move || accept(&listener, &its));
        Self { shared }
    }

    /// Nobody gets through, and whoever had is cut off.
    pub(crate) fn shut(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.open = false;
        state.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    pub(crate) fn open(&self) {
        self.shared.state.lock().unwrap().open = true;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut();
        self.shared.state.lock().unwrap().gone = true;
    }
}

/// Takes connections until the door is gone.
fn accept(listener: &TcpListener, shared: &Shared) {
    listener.set_nonblocking(true).unwrap();
    loop {
        match listener.accept() {
            Ok((inside, _)) => forward(inside, shared).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(_) => return,
        }
        if shared.state.lock().unwrap().gone {
            return;
        }
    }
}

fn forward(inside: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut state = shared.state.lock().unwrap();
    if !state.open {
        return Ok(());
    }
    inside.set_nonblocking(false)?;
    let outside = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.port))?;
    for stream in [&inside, &outside] {
        state.streams.push(stream.try_clone()?);
    }
    for (from, to) in [(inside.try_clone()?, outside.try_clone()?), (outside, inside)] {
        thread::spawn(move || copy(from, to));
    }
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
