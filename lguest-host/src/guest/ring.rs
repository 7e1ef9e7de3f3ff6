//! The ring of asynchronous hypercalls (2.5).

use super::hypercall::Call;
use super::{Guest, Platform};
use crate::abi::{RING, RING_FREE, data};
use crate::death::{Category, Outcome, named};
use crate::mutant::broken;

impl Guest {
    /// Execute what is ready, in ring order, at most one lap. Statuses are read once, arguments copied before use.
    pub(super) fn drain_ring(&mut self, platform: &mut dyn Platform) -> Outcome<()> {
        let Some(shared) = self.shared else { return Ok(()) };
        if broken("async-ring-ignored") {
            return Ok(());
        }
        let status = named(
            self.ram.read::<[u8; RING as usize]>(shared.addr + data::HCALL_STATUS),
            Category::AsyncFetch,
        )?;
        for _ in 0..RING {
            let n = self.ring_cursor % RING;
            if status[n as usize] == RING_FREE {
                break;
            }
            let step = if broken("async-ring-backwards") { RING - 1 } else { 1 };
            self.ring_cursor = (n + step) % RING;
            let at = shared.addr + data::HCALLS + 20 * n;
            let [number, a, b, c, d] = named(self.ram.read(at), Category::AsyncFetch)?;
            self.call(Call { number, args: [a, b, c, d] }, platform)?;
            if !broken("async-status-kept") {
                named(self.ram.write(shared.addr + data::HCALL_STATUS + n, RING_FREE), Category::AsyncWrite)?;
            }
        }
        Ok(())
    }
}
