//! Traffic as fast as it goes: a TCP stream, small datagrams, and datagrams to and fro.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::netns::Namespace;
use testbed::LabError;

use crate::Result;

/// Payload of a datagram that makes a 64-byte packet, with its Ethernet, IPv4 and UDP headers.
const SMALL: usize = 22;
/// What a TCP sender writes at once.
const CHUNK: usize = 128 << 10;
/// When a receiver looks whether it is over.
const TICK: Duration = Duration::from_millis(100);

/// From one namespace to an address in another.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    from: Namespace,
    to: Namespace,
    target: Ipv4Addr,
}

impl Flow {
    pub(crate) fn between(from: &str, to: &str, target: Ipv4Addr) -> Result<Self> {
        let open = |ns: &str| match Namespace::open(ns) {
            Ok(Some(namespace)) => Ok(namespace),
            Ok(None) => Err(LabError::new(format!("there is no namespace {ns}"))),
            Err(e) => Err(explain(&e)),
        };
        Ok(Self { from: open(from)?, to: open(to)?, target })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((self.target, 0))
    }

    /// Gigabits per second of one TCP connection.
    pub(crate) fn stream(&self, time: Duration) -> Result<f64> {
        let address = self.address();
        let listener = inside(&self.to, move || TcpListener::bind(address))?;
        let target = listener.local_addr().map_err(|e| explain(&e))?;
        let receiving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let (mut buffer, mut total, begun) = (vec![0; CHUNK], 0_usize, Instant::now());
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok(total as f64 * 8.0 / 1e9 / begun.elapsed().as_secs_f64()),
                    n => total += n,
                }
            }
        });
        let mut stream = inside(&self.from, move || TcpStream::connect(target))?;
        let (chunk, begun) = (vec![0; CHUNK], Instant::now());
        while begun.elapsed() < time {
            stream.write_all(&chunk).map_err(|e| explain(&e))?;
        }
        drop(stream);
        joined(receiving.join())
    }

    /// Thousands of 64-byte packets per second that arrive.
    pub(crate) fn packets(&self, time: Duration) -> Result<f64> {
        let (receiver, target, stop) = self.receiver()?;
        let stopped = Arc::clone(&stop);
        let receiving = std::thread::spawn(move || {
            let (mut buffer, mut count) = ([0; 64], 0_u32);
            while !stopped.load(Ordering::Relaxed) {
                count += u32::from(receiver.recv(&mut buffer).is_ok());
            }
            Ok(count)
        });
        let sender = self.sender(target)?;
        let begun = Instant::now();
        while begun.elapsed() < time {
            for _ in 0..64 {
                // A full queue drops, as it does on any link.
                let _ = sender.send(&[0; SMALL]);
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        Ok(f64::from(joined(receiving.join())?) / 1e3 / seconds)
    }

    /// Microseconds of round trips, one after the other.
    pub(crate) fn round_trips(&self, time: Duration) -> Result<Vec<f64>> {
        let (receiver, target, stop) = self.receiver()?;
        let stopped = Arc::clone(&stop);
        let answering = std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, source)) = receiver.recv_from(&mut buffer) {
                    receiver.send_to(&buffer[..length], source)?;
                }
            }
            Ok(())
        });
        let sender = self.sender(target)?;
        let (begun, mut times, mut buffer) = (Instant::now(), Vec::new(), [0; 64]);
        while begun.elapsed() < time {
            let sent = Instant::now();
            sender.send(&[0; SMALL]).map_err(|e| explain(&e))?;
            if sender.recv(&mut buffer).is_ok() {
                times.push(sent.elapsed().as_secs_f64() * 1e6);
            }
        }
        stop.store(true, Ordering::Relaxed);
        joined(answering.join())?;
        if times.is_empty() {
            return Err(LabError::new(format!("nothing comes back from {}", self.target)));
        }
        Ok(times)
    }

    fn receiver(&self) -> Result<(UdpSocket, SocketAddr, Arc<AtomicBool>)> {
        let address = self.address();
        let socket = inside(&self.to, move || UdpSocket::bind(address))?;
        socket.set_read_timeout(Some(TICK)).map_err(|e| explain(&e))?;
        let target = socket.local_addr().map_err(|e| explain(&e))?;
        Ok((socket, target, Arc::default()))
    }

    fn sender(&self, target: SocketAddr) -> Result<UdpSocket> {
        inside(&self.from, move || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_read_timeout(Some(TICK))?;
            socket.connect(target)?;
            Ok(socket)
        })
    }
}

fn explain(error: &io::Error) -> LabError {
    LabError::new(format!("traffic: {error}"))
}

fn inside<T: Send + 'static>(ns: &Namespace, f: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    ns.run(f).and_then(|answer| answer).map_err(|e| explain(&e))
}

fn joined<T>(ended: std::thread::Result<io::Result<T>>) -> Result<T> {
    ended.unwrap_or_else(|_| Err(io::Error::other("a receiver panicked"))).map_err(|e| explain(&e))
}
