//! The process's memory.

use std::io;
use std::ops::Range;

use crate::sys;

/// Has all threads share the one heap that grows like that of a program with one thread. To be called before there are others.
///
/// glibc gives each thread a heap of its own, which grows by system calls of a page each: a thread that takes in a full table
/// spends a fifth of its time on that. Here one thread does nearly all that allocates; small pieces of the others come from the
/// caches that each thread has beside the heap, so that they seldom wait for its lock. A listing does while it is made.
/// Does nothing where the C library is another one.
pub fn share_one_heap() {
    sys::one_malloc_arena();
}

/// Takes the program's code out of this process's memory: a start goes through code that is not needed again, and that counts as
/// this process's for as long as it is mapped. What is needed comes back from the page cache, in microseconds; only where
/// memory is so short that the cache has lost it, from the disk. Returns how many octets of mappings were given up.
///
/// # Errors
/// When /proc cannot be read.
pub fn forget_unused_code() -> io::Result<usize> {
    sys::forget_clean_mappings()
}

/// The mappings of a program up to its code, in the text of `/proc/PID/smaps`: those that cannot be written to and of which no page
/// is private, in memory or swapped out. What the loader writes to and then protects lies behind the code.
pub(crate) fn clean(smaps: &str, program: &str) -> Vec<Range<usize>> {
    let (mut clean, mut mapping) = (Vec::new(), None);
    let mut behind = false;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Anonymous:") if words.next() != Some("0") => mapping = None,
            // Behind the other one. A kernel that does not say it has nothing given up.
            Some("Swap:") if words.next() == Some("0") => clean.extend(mapping.take()),
            Some(name) if name.ends_with(':') => {}
            _ => {
                mapping = read_only(line, program).filter(|_| !behind);
                behind |= is_code(line, program);
            }
        }
    }
    clean
}

/// Of a line that begins a mapping (bounds, permissions, offset, device, inode, path): the bounds, if it is the program's and
/// cannot be written to.
fn read_only(line: &str, program: &str) -> Option<Range<usize>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    (line.ends_with(program) && permissions.starts_with("r-") && permissions.ends_with('p'))
        .then_some(address(start)?..address(end)?)
}

fn is_code(line: &str, program: &str) -> bool {
    line.ends_with(program) && line.split_whitespace().nth(1).is_some_and(|permissions| permissions.contains('x'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mapping(header: &str, anonymous: u32, swapped: u32) -> String {
        format!(
            "{header}\nSize: 16 kB\nRss: 16 kB\nAnonymous: {anonymous} kB\nKSM: 0 kB\nSwap: {swapped} kB\nVmFlags: rd mr\n"
        )
    }

    #[test]
    fn only_what_is_as_its_file_is_given_up() {
        let program = " /usr/bin/perouter";
        let smaps = [
            mapping("0500-0600 r--p 00000000 fe:00 52 /usr/lib/libc.so.6", 0, 0),
            mapping("1000-2000 r--p 00000000 fe:00 53 /usr/bin/perouter", 0, 0),
            mapping("2000-4000 r-xp 00001000 fe:00 53 /usr/bin/perouter", 0, 0),
            mapping("4000-5000 r--p 00003000 fe:00 53 /usr/bin/perouter", 0, 0),
            mapping("5000-6000 rw-p 00004000 fe:00 53 /usr/bin/perouter", 0, 0),
            mapping("6000-7000 rw-p 00000000 00:00 0 [heap]", 0, 0),
            mapping("7000-8000 r-xp 00000000 fe:00 54 /usr/bin/another", 0, 0),
            mapping("a000-b000 r-xp 00000000 00:00 0 [vdso]", 0, 0),
        ];
        assert_eq!(clean(&smaps.concat(), program), [0x1000..0x2000, 0x2000..0x4000]);
        let kinds = [(4, 0), (0, 4), (4, 4)];
        let touched = kinds.map(|(anonymous, swapped)| {
            mapping("2000-4000 r-xp 00001000 fe:00 53 /usr/bin/perouter", anonymous, swapped)
        });
        assert_eq!(clean(&touched.concat(), program), []);
        let silent = "2000-4000 r-xp 00001000 fe:00 53 /usr/bin/perouter\nAnonymous: 0 kB\nVmFlags: rd\n";
        assert_eq!(clean(silent, program), []);
    }

    #[test]
    fn the_program_goes_on_with_less_of_it_in_memory() {
        let resident = || {
            let status = fs::read_to_string("/proc/self/status").expect("a process has a status");
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("it says so");
            line.split_whitespace().next().expect("a number").parse::<u64>().expect("a number")
        };
        // Other tests go through code meanwhile.
        let gives_up = |_| {
            let before = resident();
            assert!(forget_unused_code().expect("/proc is there") > 0);
            resident() < before
        };
        assert!((0..1000).any(gives_up), "still {} kB", resident());
    }
}
