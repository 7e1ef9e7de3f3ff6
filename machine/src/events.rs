//! The one queue of future events in virtual time.
//!
//! Invariants:
//! * Events come out ordered by time, and among equal times in the order they were scheduled.
//! * Each [`Event`] names a place in the chipset and is pending at most once: scheduling it again moves it.
//! * Nothing else in the machine knows when anything will happen; `Lines::deadline` is the head of this queue (or
//!   the end of the current run, if that comes first).

use serde::{Deserialize, Serialize};

/// What happens when its time comes: which device looks at the clock again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The output of timer channel 0 changes.
    PitOutput,
    /// The real-time clock raises one of its interrupt flags.
    Rtc,
    /// A character has arrived completely at this serial port.
    UartReceive(u8),
    /// This serial port's receive FIFO has been left alone for four character times.
    UartTimeout(u8),
    /// Bit 23 of the power-management timer toggles.
    PmTimer,
    /// A drive on this IDE channel, or the channel's bus master, has something to do.
    Ide(u8),
    /// The count of the local APIC's timer reaches zero.
    ApicTimer,
    /// The gateway behind the network device has something to send again.
    Network,
}

impl Event {
    /// The interrupt request line that the event may raise; the local APIC's timer has none, and PCI
    /// devices have lines of their own.
    pub fn irq(self) -> Option<u8> {
        Some(match self {
            Event::PitOutput => 0,
            Event::Rtc => 8,
            Event::UartReceive(0) | Event::UartTimeout(0) => 4,
            Event::UartReceive(_) | Event::UartTimeout(_) => 3,
            Event::PmTimer => 9,
            Event::Ide(0) => 14,
            Event::Ide(_) => 15,
            Event::ApicTimer | Event::Network => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    at: u64,
    sequence: u64,
    event: Event,
}

/// Future events, soonest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQueue {
    pending: Vec<Pending>,
    next_sequence: u64,
}

impl EventQueue {
    /// Let `event` happen at virtual time `at`, and not when it was to happen before.
    pub fn schedule(&mut self, event: Event, at: u64) {
        self.cancel(event);
        let place = self.pending.partition_point(|p| p.at <= at);
        self.pending.insert(place, Pending { at, sequence: self.next_sequence, event });
        self.next_sequence += 1;
    }

    /// Forget `event` if it is pending.
    pub fn cancel(&mut self, event: Event) {
        self.pending.retain(|p| p.event != event);
    }

    /// Whether `event` will happen.
    pub fn is_scheduled(&self, event: Event) -> bool {
        self.pending.iter().any(|p| p.event == event)
    }

    /// Virtual time of the next event; `u64::MAX` if there is none.
    pub fn next_time(&self) -> u64 {
        self.pending.first().map_or(u64::MAX, |p| p.at)
    }

    /// Take the first event that is due at `now`.
    pub fn pop_due(&mut self, now: u64) -> Option<Event> {
        let due = self.pending.first().is_some_and(|p| p.at <= now);
        due.then(|| self.pending.remove(0).event)
    }

    /// All pending events, soonest first.
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        self.pending.iter().map(|p| p.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_times_keep_their_order_and_rescheduling_moves() {
        let mut queue = EventQueue::default();
        queue.schedule(Event::Rtc, 10);
        queue.schedule(Event::PitOutput, 10);
        queue.schedule(Event::PmTimer, 5);
        queue.schedule(Event::Rtc, 10);
        assert_eq!(queue.next_time(), 5);
        assert_eq!(queue.pop_due(4), None);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop_due(10)).collect();
        assert_eq!(order, [Event::PmTimer, Event::PitOutput, Event::Rtc]);
        assert_eq!(queue.next_time(), u64::MAX);
    }

    proptest! {
        #[test]
        fn comes_out_sorted(times in prop::collection::vec(0u64..50, 1..10)) {
            let mut queue = EventQueue::default();
            for (n, &at) in times.iter().enumerate() {
                queue.schedule(Event::UartReceive(n as u8), at);
            }
            let mut last = (0, 0);
            while let Some(Event::UartReceive(n)) = { let now = queue.next_time(); queue.pop_due(now) } {
                let key = (times[usize::from(n)], n);
                prop_assert!(last <= key);
                last = key;
            }
        }
    }
}
