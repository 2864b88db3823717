//! The few calls for which no safe wrapper exists; the only place with `unsafe`.
//!
//! TCP-MD5 keys (RFC 2385), the two TTL checks of RFC 5082, netlink's socket options, the credentials of a local peer,
//! what a datagram carries beside its bytes, scheduling, the heap, the program's own pages, `unshare` and the filter of system calls.
#![allow(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::{fs, io};

use rustix::thread::UnshareFlags;

use crate::memory::clean;

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

/// What came with a datagram.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    pub(crate) length: usize,
    pub(crate) source: Option<IpAddr>,
    pub(crate) destination: Option<IpAddr>,
    /// Index of the link.
    pub(crate) link: u32,
    /// TTL or hop limit.
    pub(crate) ttl: Option<u8>,
}

/// Receives a datagram with what the options IP_PKTINFO, IP_RECVTTL and their IPv6 twins say about it.
pub(crate) fn receive(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Arrival> {
    /// Room for the two control messages, aligned as their headers must be.
    #[repr(C, align(8))]
    struct Control([u8; 128]);

    // SAFETY: all-zero bytes are a valid sockaddr_storage (family AF_UNSPEC).
    let mut source: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut control = Control([0; 128]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero bytes are a valid msghdr without any buffer.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = std::ptr::from_mut(&mut source).cast();
    message.msg_namelen = libc::socklen_t::try_from(size_of_val(&source)).expect("addresses are small");
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: every pointer in `message` is to a live buffer of the length that stands beside it.
    let length = unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut arrival = Arrival { length, source: address(&source), ..Arrival::default() };
    // SAFETY: `message` and its control buffer are as recvmsg left them; CMSG_* stay within msg_controllen.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: not null, so a whole header within the buffer.
        let (level, kind, data) = unsafe { ((*header).cmsg_level, (*header).cmsg_type, libc::CMSG_DATA(header)) };
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                // SAFETY: the kernel puts an int here; the read need not be aligned.
                let ttl = unsafe { data.cast::<libc::c_int>().read_unaligned() };
                arrival.ttl = u8::try_from(ttl).ok();
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: as above, a struct in_pktinfo.
                let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                arrival.link = u32::try_from(info.ipi_ifindex).unwrap_or_default();
                arrival.destination = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: as above, a struct in6_pktinfo.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                arrival.link = info.ipi6_ifindex;
                arrival.destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            _ => {}
        }
        // SAFETY: as for the first one.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(arrival)
}

fn address(storage: &libc::sockaddr_storage) -> Option<IpAddr> {
    let from = std::ptr::from_ref(storage);
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: sockaddr_storage is large enough and aligned for every socket address, and the family says which.
            let address = unsafe { &*from.cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*from.cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Has the calling thread scheduled before all ordinary ones (SCHED_RR). Threads that it starts are ordinary.
pub(crate) fn schedule_round_robin(priority: libc::c_int) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: priority };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // The system call itself: musl's function of that name refuses always.
    // SAFETY: the kernel only reads `param`, which outlives the call; 0 is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const param) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling thread a policy among the ordinary ones, and the share of a processor that it asks for at a time, in
/// nanoseconds (0: the usual one). Its nice value stays. Kernels before 6.12 do nothing about the share.
pub(crate) fn schedule_ordinary(policy: u32, nanoseconds: u64) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `sched_attr`.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = u32::try_from(size_of_val(&attributes)).expect("a small structure");
    // SAFETY: the kernel writes at most `size` octets to `attributes`; 0 is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    attributes.size = size;
    attributes.sched_policy = policy;
    attributes.sched_runtime = nanoseconds;
    // SAFETY: the kernel only reads `attributes`, which says how long it is.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes the program's code, and what is mapped in front of it, out of this process's memory where it is as in the file. Returns
/// how many octets those mappings have.
pub(crate) fn forget_clean_mappings() -> io::Result<usize> {
    let program = format!(" {}", fs::read_link("/proc/self/exe")?.display());
    let smaps = fs::read_to_string("/proc/self/smaps")?;
    let forget = |range: &Range<usize>| {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: `clean` names mappings of this program that hold no page of their own, which cannot be written to and lie
        // before what the loader writes to: they are as they were since the start, nobody maps anything else there as long
        // as the program runs, and what is read there afterwards is what the file has, as before.
        unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) == 0 }
    };
    Ok(clean(&smaps, &program).iter().filter(|range| forget(range)).map(Range::len).sum())
}

/// Has malloc serve every thread from the main arena.
pub(crate) fn one_malloc_arena() {
    // SAFETY: mallopt changes parameters of the allocator under its own lock.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives the calling thread a network namespace of its own.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: only the network namespace is unshared, never the table of file descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}

/// Has this program decide about every system call of the calling thread and of those that it starts, for good. Needs
/// `no_new_privs`.
pub(crate) fn filter_system_calls(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        // The kernel only reads it.
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the pointer is to a `sock_fprog` whose own pointer and length describe a slice that outlives the call.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
