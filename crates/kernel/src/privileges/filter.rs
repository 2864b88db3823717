//! The system calls that are refused, as a program for the kernel's packet filter (seccomp(2)).
//!
//! Not a list of what is allowed: what the C library and the runtime call differs between versions and machines, and a
//! router that dies of a new one is worse than the risk. Refused is what gives power over the node and what no part of this
//! program calls. The answer is EPERM, as without the privilege.

use libc::{c_long, sock_filter};

use super::Namespaces;

/// Power over the whole node, or over other processes, and the parts of the kernel where most holes were.
const REFUSED: &[c_long] = &[
    // Other kernels and code in this one.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Other file systems and other views of this one.
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_open_by_handle_at,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_fanotify_init,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_personality,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    // Keys of the kernel.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// What only a process that makes and names namespaces calls.
const NAMESPACES: &[c_long] = &[libc::SYS_mount, libc::SYS_umount2, libc::SYS_unshare];

/// `AUDIT_ARCH_*` of `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// Numbers from here on are those of the x32 ABI.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// The program.
pub(super) fn program(namespaces: Namespaces) -> Vec<sock_filter> {
    let more = match namespaces {
        Namespaces::Ours => &[],
        Namespaces::Others => NAMESPACES,
    };
    let refused: Vec<u32> = REFUSED.iter().chain(more).filter_map(|number| u32::try_from(*number).ok()).collect();
    let mut program = vec![
        load(ARCH),
        // A call by the conventions of another architecture has other numbers: all of them are refused.
        jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
        answer(refuse()),
        load(NUMBER),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([jump(libc::BPF_JGE, X32, 0, 1), answer(refuse())]);
    for number in refused {
        program.extend([jump(libc::BPF_JEQ, number, 0, 1), answer(refuse())]);
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}

fn refuse() -> u32 {
    libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()
}

fn code(parts: u32) -> u16 {
    u16::try_from(parts).expect("operation codes have 16 bits")
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), jt: 0, jf: 0, k: offset }
}

/// Skips `yes` or `no` instructions.
fn jump(condition: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: code(libc::BPF_JMP | condition | libc::BPF_K), jt: yes, jf: no, k: value }
}

fn answer(action: u32) -> sock_filter {
    sock_filter { code: code(libc::BPF_RET | libc::BPF_K), jt: 0, jf: 0, k: action }
}
