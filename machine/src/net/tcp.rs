//! The gateway's end of a guest's TCP connections (RFC 9293). The wire loses nothing and keeps the order, so there is no
//! reassembly; what a guest drops itself is sent again after a while.
//!
//! Flow control goes through: a guest may send as much as the outside has not taken yet fits into its window, and the outside may
//! send as much as it has credit for, which comes back as the guest acknowledges.

use super::wire::{Endpoint, Segment, flag, make_segment};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bytes on the way in one direction at most.
pub const WINDOW: u32 = 0xFFFF;
/// Bytes in a segment from us at most, and unless the guest says otherwise.
const LARGEST: u16 = 1460;
const DEFAULT: u16 = 536;
/// Virtual time after which segments are sent again; doubled each time, so often.
const PATIENCE: u64 = 1_000_000_000;
const TRIES: u8 = 8;

/// A peer that lives in the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// Sends back what comes.
    Echo,
    /// Takes what comes.
    Discard,
    /// Sends [`CHARACTERS`] bytes, then ends.
    Characters,
}

/// Bytes that [`Service::Characters`] sends.
pub const CHARACTERS: u32 = 1 << 20;

/// What became of a connection, for its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The guest sent this.
    Data(Vec<u8>),
    /// The guest has no more to send.
    End,
    /// The guest has taken so many bytes.
    Taken(u32),
    /// The connection is gone, in disorder.
    Aborted,
}

/// A connection that a guest opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its number for the outside.
    pub id: u32,
    /// The guest's end.
    pub guest: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// The other end is here.
    pub service: Option<Service>,
    most: u16,
    /// The other end has answered; the guest knows.
    opened: bool,
    established: bool,
    /// Next byte expected from the guest.
    expected: u32,
    guest_ended: bool,
    /// Number of the first byte the guest has not acknowledged; those bytes, and how many of them are on their way.
    unacknowledged: u32,
    sending: VecDeque<u8>,
    sent: u32,
    window: u32,
    /// The other end has no more to send; so the guest has been told; and it knows.
    ended: bool,
    end_sent: bool,
    end_known: bool,
    /// Bytes handed on that the other end has not taken.
    untaken: u32,
    /// Bytes [`Service::Characters`] has made.
    made: u32,
    syn_due: bool,
    acknowledge: bool,
    again_at: Option<u64>,
    tries: u8,
}

impl Connection {
    /// The guest sent a first segment.
    pub fn new(
        id: u32,
        guest: Endpoint,
        remote: Endpoint,
        service: Option<Service>,
        syn: &Segment<'_>,
    ) -> Connection {
        Connection {
            id,
            guest,
            remote,
            service,
            most: syn.most.unwrap_or(DEFAULT).clamp(1, LARGEST),
            opened: false,
            established: false,
            expected: syn.sequence.wrapping_add(1),
            guest_ended: false,
            unacknowledged: id.wrapping_mul(0x0100_0193),
            sending: VecDeque::new(),
            sent: 0,
            window: u32::from(syn.window),
            ended: false,
            end_sent: false,
            end_known: false,
            untaken: 0,
            made: 0,
            syn_due: false,
            acknowledge: false,
            again_at: None,
            tries: 0,
        }
    }

    /// The other end has answered.
    pub fn open(&mut self) {
        (self.opened, self.syn_due) = (true, true);
    }

    /// The other end sent this.
    pub fn send(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.sending.extend(bytes);
        }
    }

    /// The other end has no more to send.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The other end has taken so many bytes.
    pub fn taken(&mut self, bytes: u32) {
        let shut = self.room() < u32::from(LARGEST);
        self.untaken = self.untaken.saturating_sub(bytes);
        self.acknowledge |= shut && self.room() >= u32::from(LARGEST);
    }

    /// Nothing more will come of it.
    pub fn is_over(&self) -> bool {
        self.guest_ended && self.end_known
    }

    /// When something is to be sent again.
    pub fn again_at(&self) -> Option<u64> {
        self.again_at
    }

    /// Bytes the guest may send.
    fn room(&self) -> u32 {
        let kept = if self.service == Some(Service::Echo) { self.sending.len() as u32 } else { self.untaken };
        WINDOW.saturating_sub(kept)
    }

    /// A segment from the guest.
    pub fn receive(&mut self, now: u64, s: &Segment<'_>) -> Vec<Happened> {
        let mut happened = Vec::new();
        if s.flags & flag::RST != 0 {
            return vec![Happened::Aborted];
        }
        if s.flags & flag::SYN != 0 {
            // It has not heard of our answer.
            self.syn_due |= self.opened && !self.established;
            return happened;
        }
        if s.flags & flag::ACK == 0 || !self.opened {
            return happened;
        }
        if !self.established {
            if s.acknowledged != self.unacknowledged.wrapping_add(1) {
                return happened;
            }
            (self.established, self.unacknowledged) = (true, s.acknowledged);
        }
        if let Some(taken) = self.acknowledged(now, s) {
            happened.push(Happened::Taken(taken));
        }
        let known = self.expected.wrapping_sub(s.sequence);
        let fresh = s.data.get(known as usize..).unwrap_or_default();
        if !fresh.is_empty() && !self.guest_ended {
            let fresh = &fresh[..fresh.len().min(self.room() as usize)];
            self.expected = self.expected.wrapping_add(fresh.len() as u32);
            match self.service {
                Some(Service::Echo) => self.sending.extend(fresh),
                Some(_) => {}
                None => {
                    self.untaken += fresh.len() as u32;
                    happened.push(Happened::Data(fresh.to_vec()));
                }
            }
        }
        let end = s.sequence.wrapping_add(s.data.len() as u32);
        if s.flags & flag::FIN != 0 && end == self.expected && !self.guest_ended {
            self.guest_ended = true;
            self.expected = self.expected.wrapping_add(1);
            self.ended |= self.service.is_some();
            happened.push(Happened::End);
        }
        // Anything but a bare acknowledgement wants an answer, old and early segments too.
        self.acknowledge |= !s.data.is_empty() || s.flags & flag::FIN != 0 || s.sequence != self.expected;
        happened
    }

    /// The guest has got something: how many bytes of data.
    fn acknowledged(&mut self, now: u64, s: &Segment<'_>) -> Option<u32> {
        let count = s.acknowledged.wrapping_sub(self.unacknowledged);
        if count > self.sent + u32::from(self.end_sent && !self.end_known) {
            return None;
        }
        self.window = u32::from(s.window);
        let bytes = count.min(self.sent);
        self.sending.drain(..bytes as usize);
        self.sent -= bytes;
        self.unacknowledged = s.acknowledged;
        self.end_known |= count > bytes;
        if count > 0 {
            self.tries = 0;
            self.again_at = self.waits().then_some(now + PATIENCE);
        }
        (bytes > 0).then_some(bytes)
    }

    /// Something is on its way to the guest, or waits for room there.
    fn waits(&self) -> bool {
        !self.sending.is_empty() || self.end_sent && !self.end_known || self.opened && !self.established
    }

    /// [`Self::again_at`] has come. False if that was the last time.
    pub fn send_again(&mut self, now: u64) -> bool {
        self.tries += 1;
        self.sent = 0;
        self.end_sent &= self.end_known;
        self.syn_due |= self.opened && !self.established;
        // Asks for the window, should it have been opened unheard.
        self.acknowledge = true;
        self.again_at = Some(now + (PATIENCE << self.tries));
        self.tries <= TRIES
    }

    /// There is something to send.
    pub fn has_segment(&self) -> bool {
        let unsent = self.sending.len() as u32 - self.sent;
        let more = self.established && unsent > 0 && self.sent < self.window;
        self.syn_due || self.acknowledge || more || self.is_end_due() || self.makes_more()
    }

    fn is_end_due(&self) -> bool {
        let all_sent = self.sending.len() as u32 == self.sent && !self.makes_more();
        self.established && self.ended && !self.end_sent && !self.end_known && all_sent
    }

    fn makes_more(&self) -> bool {
        let makes = self.service == Some(Service::Characters) && self.established;
        makes && self.made < CHARACTERS && self.sending.len() < WINDOW as usize / 2
    }

    fn make_more(&mut self) {
        while self.made < CHARACTERS && self.sending.len() < WINDOW as usize {
            self.sending.push_back(match self.made % 64 {
                63 => b'\n',
                column => b'0' + ((column + self.made / 64) % 64) as u8,
            });
            self.made += 1;
        }
        self.ended = self.made == CHARACTERS;
    }

    /// The next segment for the guest, as a packet.
    pub fn next_segment(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.makes_more() {
            self.make_more();
        }
        if !self.has_segment() {
            return None;
        }
        let acknowledgement = Segment {
            from: self.remote.port,
            to: self.guest.port,
            sequence: self
                .unacknowledged
                .wrapping_add(self.sent)
                .wrapping_add(u32::from(self.end_sent && !self.end_known)),
            acknowledged: self.expected,
            flags: flag::ACK,
            window: self.room() as u16,
            ..Segment::default()
        };
        let unsent = self.sending.len() as u32 - self.sent;
        let n = unsent.min(u32::from(self.most)).min(self.window.saturating_sub(self.sent));
        let start = self.sent as usize;
        let packet = if self.syn_due {
            self.syn_due = false;
            let first = Segment { flags: flag::SYN | flag::ACK, most: Some(LARGEST), ..acknowledgement };
            self.packet(&Segment { sequence: self.unacknowledged, ..first })
        } else if self.established && n > 0 {
            let data: Vec<u8> = self.sending.range(start..start + n as usize).copied().collect();
            self.sent += n;
            self.packet(&Segment { flags: flag::PSH | flag::ACK, data: &data, ..acknowledgement })
        } else if self.is_end_due() {
            self.end_sent = true;
            self.packet(&Segment { flags: flag::FIN | flag::ACK, ..acknowledgement })
        } else if self.sending.is_empty() || self.window > 0 {
            self.packet(&acknowledgement)
        } else {
            // Before the window: the answer says how large it is.
            self.packet(&Segment { sequence: acknowledgement.sequence.wrapping_sub(1), ..acknowledgement })
        };
        self.acknowledge = false;
        if self.waits() && self.again_at.is_none() {
            self.again_at = Some(now + PATIENCE);
        }
        Some(packet)
    }

    /// The packet that breaks it off.
    pub fn reset(&self) -> Vec<u8> {
        self.packet(&Segment {
            from: self.remote.port,
            to: self.guest.port,
            sequence: if self.opened { self.unacknowledged.wrapping_add(self.sent) } else { 0 },
            acknowledged: self.expected,
            flags: flag::RST | flag::ACK,
            ..Segment::default()
        })
    }

    fn packet(&self, s: &Segment<'_>) -> Vec<u8> {
        make_segment(self.remote.ip, self.guest.ip, s)
    }
}

/// The packet that refuses a segment.
pub fn refusal(guest: Endpoint, remote: Endpoint, s: &Segment<'_>) -> Vec<u8> {
    let length =
        s.data.len() as u32 + u32::from(s.flags & flag::SYN != 0) + u32::from(s.flags & flag::FIN != 0);
    let refused = Segment {
        from: remote.port,
        to: guest.port,
        sequence: if s.flags & flag::ACK != 0 { s.acknowledged } else { 0 },
        acknowledged: s.sequence.wrapping_add(length),
        flags: flag::RST | flag::ACK,
        ..Segment::default()
    };
    make_segment(remote.ip, guest.ip, &refused)
}
