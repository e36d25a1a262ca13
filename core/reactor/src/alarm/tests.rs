use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::Alarm;

const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_secs(3600);
/// Nothing waits for as long.
const PATIENCE: Duration = Duration::from_secs(30);

struct Loop {
    poll: Poll,
    alarm: Alarm,
}

impl Loop {
    fn new() -> Self {
        let poll = Poll::new().unwrap();
        let alarm = Alarm::new(poll.registry(), Token(7));
        Self { poll, alarm }
    }

    /// Sleeps as a loop does whose next deadline is `due`, and says whether something woke it.
    fn sleep(&mut self, due: Instant) -> bool {
        let mut events = Events::with_capacity(8);
        let now = Instant::now();
        let sleep = self.alarm.set(due, now);
        self.poll.poll(&mut events, Some(sleep.unwrap_or(PATIENCE))).unwrap();
        assert!(now.elapsed() < PATIENCE, "woken in time");
        !events.is_empty()
    }
}

#[test]
fn the_loop_is_woken_when_a_deadline_has_come_each_time() {
    let mut sleeper = Loop::new();
    for _ in 0..3 {
        let due = Instant::now() + SOON;
        sleeper.sleep(due);
        assert!(due <= Instant::now(), "it slept until then");
    }
}

#[test]
fn what_is_due_already_does_not_wait() {
    let mut sleeper = Loop::new();
    sleeper.sleep(Instant::now());
}

#[test]
fn an_earlier_deadline_is_told_to_the_kernel() {
    let mut sleeper = Loop::new();
    let now = Instant::now();
    sleeper.alarm.set(now + LATE, now);
    sleeper.sleep(now + SOON);
    assert!(now + SOON <= Instant::now());
}

#[cfg(any(target_os = "android", target_os = "linux"))]
#[test]
fn a_later_deadline_is_not_told_before_the_timer_went_off() {
    let mut sleeper = Loop::new();
    let now = Instant::now();
    sleeper.alarm.set(now + SOON, now);
    assert!(sleeper.sleep(now + LATE), "the timer is the one for the deadline before");
    assert!(sleeper.sleep(Instant::now() + SOON), "and is set anew once it went off");
}

#[cfg(any(target_os = "android", target_os = "linux"))]
#[test]
fn an_alarm_that_went_off_before_the_loop_looks_at_the_clock_wakes_it_again() {
    let mut sleeper = Loop::new();
    let before = Instant::now();
    assert!(sleeper.sleep(before + SOON));
    sleeper.alarm.went_off();
    let sleep = sleeper.alarm.set(before + SOON, before);
    let mut events = Events::with_capacity(8);
    sleeper.poll.poll(&mut events, Some(sleep.unwrap_or(PATIENCE))).unwrap();
    assert!(!events.is_empty(), "woken");
}

#[test]
fn where_there_is_no_timer_the_loop_sleeps_for_so_long() {
    let mut sleeper = Loop::new();
    sleeper.alarm.timer = None;
    let now = Instant::now();
    for due in [now + SOON, now + LATE, now + SOON / 2] {
        assert_eq!(sleeper.alarm.set(due, now), Some(due - now));
    }
    let due = Instant::now() + SOON;
    assert!(!sleeper.sleep(due), "nothing happened but that time passed");
    assert!(due <= Instant::now());
}
