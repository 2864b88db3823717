//! The few system calls for which no safe wrapper exists; the only place with `unsafe`.
//!
//! TCP-MD5 keys (RFC 2385), the two TTL checks of RFC 5082, netlink's socket options, the credentials of a local peer
//! and `unshare`.
#![allow(unsafe_code)]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use rustix::thread::UnshareFlags;

/// Longest TCP-MD5 key in bytes (TCP_MD5SIG_MAXKEYLEN).
const MD5_KEY_MAX: usize = 80;
/// `tcpm_prefixlen` counts.
const MD5_FLAG_PREFIX: u8 = 1;

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct TcpMd5Sig {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; MD5_KEY_MAX],
}

fn set_option<T>(fd: impl AsFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).expect("socket options are small");
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it.
    let result =
        unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// An option whose value is an `int`.
pub(crate) fn set_int(fd: impl AsFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_option(fd, level, name, &value)
}

/// Installs or removes (`None`) the TCP-MD5 key for all peers within `address/length`.
pub(crate) fn set_md5(fd: impl AsFd, address: IpAddr, length: u8, key: Option<&str>) -> io::Result<()> {
    let key = key.unwrap_or_default().as_bytes();
    let mut option = TcpMd5Sig {
        // SAFETY: all-zero bytes are a valid sockaddr_storage (family AF_UNSPEC).
        address: unsafe { std::mem::zeroed() },
        flags: MD5_FLAG_PREFIX,
        prefix_length: length,
        key_length: 0,
        interface: 0,
        key: [0; MD5_KEY_MAX],
    };
    option
        .key
        .get_mut(..key.len())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a TCP-MD5 key has at most 80 bytes"))?
        .copy_from_slice(key);
    option.key_length = u16::try_from(key.len()).expect("at most 80");
    let target = std::ptr::from_mut(&mut option.address);
    match address {
        IpAddr::V4(address) => {
            // SAFETY: sockaddr_storage is large enough and aligned for every socket address.
            let out = unsafe { &mut *target.cast::<libc::sockaddr_in>() };
            out.sin_family = libc::sa_family_t::try_from(libc::AF_INET).expect("small");
            out.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
        }
        IpAddr::V6(address) => {
            // SAFETY: as above.
            let out = unsafe { &mut *target.cast::<libc::sockaddr_in6>() };
            out.sin6_family = libc::sa_family_t::try_from(libc::AF_INET6).expect("small");
            out.sin6_addr.s6_addr = address.octets();
        }
    }
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_MD5SIG_EXT, &option)
}

/// Packets with a smaller TTL or hop limit are dropped (RFC 5082).
pub(crate) fn set_min_ttl(fd: impl AsFd, ipv6: bool, ttl: u8) -> io::Result<()> {
    /// `linux/in6.h`; not in libc.
    const IPV6_MINHOPCOUNT: libc::c_int = 73;
    if ipv6 {
        set_int(fd, libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT, ttl.into())
    } else {
        set_int(fd, libc::IPPROTO_IP, libc::IP_MINTTL, ttl.into())
    }
}

/// User and process at the other end of a local socket, as plain numbers: a process of another PID namespace is 0, which
/// rustix's types cannot hold.
pub(crate) fn peer_credentials(fd: impl AsFd) -> io::Result<(u32, i32)> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).expect("socket options are small");
    // SAFETY: the pointer and the length describe `found`, which outlives the call and in which every value is valid.
    let result = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut found).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok((found.uid, found.pid)) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling thread a network namespace of its own.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: only the network namespace is unshared, never the table of file descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}
