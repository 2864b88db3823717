//! Getting a processor in time.

use std::io;

use crate::sys;

/// The lowest real-time priority: before every ordinary thread, behind whatever else is real-time.
const LOWEST: libc::c_int = 1;
/// As good as it gets for an ordinary thread, short of the kernel's own.
const NICE: i32 = -15;

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
