//! What a machine can be built from.

use super::*;

#[test]
fn ram_size_is_checked() {
    for ram in [0, 4096, (1 << 20) - 4096, (1 << 20) + 1, (3 << 30) + 4096, u64::MAX] {
        assert!(matches!(Machine::new(Config { ram, rtc: 0 }), Err(ConfigError::RamSize(_))));
    }
    assert!(Machine::new(Config { ram: 1 << 20, rtc: 0 }).is_ok());
    assert!(Machine::new(Config { ram: 3 << 30, rtc: 0 }).is_ok());
}
