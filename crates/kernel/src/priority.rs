//! Getting a processor in time.

use std::io;
use std::time::Duration;

use crate::sys;

/// The lowest real-time priority: before every ordinary thread, behind whatever else is real-time.
const LOWEST: libc::c_int = 1;
/// As good as it gets for an ordinary thread, short of the kernel's own.
const NICE: i32 = -15;
/// Three times the share of an ordinary thread, as FRR's unit gives its daemons: who has worked for long is not held back behind
/// what has not, and a flood of updates takes no processor from everybody else.
const PREFERRED: i32 = -5;
/// How long the calling thread may keep a processor when it has [`answer_soon`]: shorter than the usual share, a few
/// milliseconds.
const SHORT: Duration = Duration::from_micros(500);

/// For a thread on which what others notice depends. It asks for a processor in shares of half a millisecond:
/// who asks for less at a time gets it sooner. With CAP_SYS_NICE it is also preferred to others that want the same processor.
/// Threads that it starts do the same.
///
/// # Errors
/// Where a filter of system calls forbids it. Kernels before 6.12 have one length for all.
pub fn answer_soon() -> io::Result<()> {
    // Who may not be preferred has the rest.
    let _ = rustix::process::setpriority_process(None, PREFERRED);
    sys::schedule_ordinary(libc::SCHED_OTHER as u32, SHORT.as_nanos() as u64)
}

/// For a thread whose work can wait: it gets its share, and takes no processor from another thread to begin. Needs no
/// privileges. Threads that it starts do the same.
///
/// # Errors
/// Where a filter of system calls forbids it.
pub fn let_others_first() -> io::Result<()> {
    sys::schedule_ordinary(libc::SCHED_BATCH as u32, 0)
}

/// Has the calling thread run as soon as it has something to do, also under load. It must do little. Threads that it
/// starts are not affected.
///
/// # Errors
/// Without CAP_SYS_NICE, or in a control group without real-time budget. The thread is then preferred among ordinary ones
/// where that is permitted.
pub fn raise() -> io::Result<()> {
    let result = sys::schedule_round_robin(LOWEST);
    if result.is_err() {
        // The error that is told is the first one.
        let _ = rustix::process::setpriority_process(None, NICE);
    }
    result
}
