//! That something takes its time: said on the terminal after a second, and wiped away with the answer.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Whoever waits longer than this is told what for.
const SECOND: Duration = Duration::from_secs(1);

/// Waits for `work`. Standard error says so from the first second on, if it is a terminal: pipes and logs stay clean.
pub(crate) async fn with<T>(what: &str, work: impl Future<Output = T>) -> T {
    watched(what, work, io::stderr().is_terminal().then(io::stderr)).await
}

async fn watched<T>(what: &str, work: impl Future<Output = T>, mut terminal: Option<impl Write>) -> T {
    tokio::pin!(work);
    let mut seconds = 0_u64;
    loop {
        tokio::select! {
            answer = &mut work => {
                if let Some(terminal) = terminal.as_mut().filter(|_| seconds > 0) {
                    // Back to the beginning, and the line away: the answer stands there.
                    let _ = write!(terminal, "\r\x1b[K").and_then(|()| terminal.flush());
                }
                return answer;
            }
            () = tokio::time::sleep(SECOND) => {
                seconds += 1;
                if let Some(terminal) = &mut terminal {
                    let _ = write!(terminal, "\r\x1b[K{what}, {seconds} s").and_then(|()| terminal.flush());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_takes_longer_than_a_second_is_told_and_nothing_of_it_stays() {
        let mut said = Vec::new();
        watched("asking", tokio::time::sleep(Duration::from_millis(900)), Some(&mut said)).await;
        assert_eq!(said, b"");
        let answer = async {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            7
        };
        assert_eq!(watched("asking", answer, Some(&mut said)).await, 7);
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said, "\r\x1b[Kasking, 1 s\r\x1b[Kasking, 2 s\r\x1b[K");
    }
}
