//! IDENTIFY DEVICE data (ATA/ATAPI-6, 8.15): what a drive says of itself.

use super::drive::Drive;

/// Most sectors that a READ or WRITE MULTIPLE command moves between two interrupts.
pub const MAX_MULTIPLE: u8 = 16;
/// Default translation: heads and sectors per track.
pub const HEADS: u16 = 16;
/// Default translation: sectors per track.
pub const SECTORS_PER_TRACK: u16 = 63;
/// Sectors a 28-bit address reaches.
const LBA28_SECTORS: u64 = (1 << 28) - 1;

/// Cylinders in the default translation.
pub fn cylinders(sectors: u64) -> u16 {
    (sectors / u64::from(HEADS * SECTORS_PER_TRACK)).clamp(1, 16_383) as u16
}

/// The 256 words.
pub fn identify(drive: &Drive) -> Vec<u8> {
    let mut words = [0u16; 256];
    let mut put = |at: usize, values: &[u16]| words[at..at + values.len()].copy_from_slice(values);
    let sectors = drive.sectors();
    let (heads, per_track) = drive.geometry();
    let translated = (sectors / (u64::from(heads) * u64::from(per_track))).min(65_535) as u16;
    let capacity = u32::from(translated) * u32::from(heads) * u32::from(per_track);
    let lba28 = sectors.min(LBA28_SECTORS) as u32;
    let features = 0x0008 | 0x0020 | 0x0040;
    let enabled = 0x0008 | u16::from(drive.write_cache) << 5 | u16::from(drive.look_ahead) << 6;

    put(0, &[0x0040, cylinders(sectors), 0, HEADS, 0, 0, SECTORS_PER_TRACK]);
    put(10, &text::<10>(&format!("RS{:08}", drive.number())));
    put(23, &text::<4>("1.0"));
    put(27, &text::<20>("Ringside disk"));
    put(47, &[0x8000 | u16::from(MAX_MULTIPLE)]);
    // LBA, DMA, IORDY which may be disabled.
    put(49, &[0x0F00, 0x4000, 0x0200]);
    put(53, &[0x0007, translated, heads, per_track, capacity as u16, (capacity >> 16) as u16]);
    put(59, &[if drive.multiple == 0 { 0 } else { 0x0100 | u16::from(drive.multiple) }]);
    put(60, &[lba28 as u16, (lba28 >> 16) as u16]);
    put(63, &[0x0007 | drive.selected_mode(0b00100), 0x0003, 120, 120, 120, 120]);
    // ATA-1 to ATA-6.
    put(80, &[0x007E]);
    // Power management, write cache, look-ahead; 48-bit addresses, both FLUSH CACHE commands.
    put(82, &[features, 0x7400, 0x4000, enabled, 0x3400, 0x4000]);
    put(88, &[0x0007 | drive.selected_mode(0b01000)]);
    // 80-conductor cable, number set by jumper.
    put(93, &[if drive.number() & 1 == 0 { 0x600B } else { 0x6300 }]);
    put(100, &std::array::from_fn::<u16, 4, _>(|n| (sectors >> (16 * n)) as u16));

    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes[510] = 0xA5;
    bytes[511] = bytes[..511].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    bytes
}

/// ASCII in `N` words, padded with spaces, the first character of each pair in the high byte.
fn text<const N: usize>(text: &str) -> [u16; N] {
    let mut chars = text.bytes().chain(std::iter::repeat(b' '));
    std::array::from_fn(|_| {
        let mut next = || u16::from(chars.next().unwrap_or(b' '));
        next() << 8 | next()
    })
}
