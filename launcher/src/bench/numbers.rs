//! Samples to numbers: medians, spreads, ratios, geometric means.

use super::catalogue::{Case, Group};
use super::runner::{Place, Sample};

/// Everything that was measured.
#[derive(Debug)]
pub struct Results {
    /// The processor of the host everything was bound to.
    pub pinned: Option<usize>,
    /// QEMU's version.
    pub qemu: Option<String>,
    /// How QEMU was called.
    pub qemu_command: String,
    /// By case.
    pub cases: Vec<CaseResult>,
}

/// One case in all its places.
#[derive(Debug)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// Its name without segments.
    pub base_name: String,
    /// Its group.
    pub group: Group,
    /// Whether its segments are not flat.
    pub segmented: bool,
    samples: Vec<(Place, Vec<Sample>)>,
}

impl CaseResult {
    /// Nothing yet.
    pub fn new(case: &Case, places: &[Place]) -> CaseResult {
        CaseResult {
            name: case.name.clone(),
            base_name: case.base_name().to_owned(),
            group: case.group,
            segmented: case.is_segmented(),
            samples: places.iter().map(|&place| (place, Vec::new())).collect(),
        }
    }

    /// One more.
    pub fn add(&mut self, place: &Place, sample: Sample) {
        if let Some((_, samples)) = self.samples.iter_mut().find(|(p, _)| p == place) {
            samples.push(sample);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().flat_map(|(_, samples)| samples)
    }

    /// The samples of one place.
    pub fn of(&self, place: Place) -> &[Sample] {
        self.samples.iter().find(|(p, _)| *p == place).map_or(&[], |(_, samples)| samples)
    }

    /// Whether all places found the same.
    pub fn agrees(&self) -> bool {
        let mut all = self.all();
        let first = all.next();
        all.all(|s| Some((&s.checksum, s.rounds)) == first.map(|f| (&f.checksum, f.rounds)))
    }

    /// The checksum they agree on.
    pub fn checksum(&self) -> &str {
        self.all().next().map_or("", |s| &s.checksum)
    }

    /// Rounds of the loop.
    pub fn rounds(&self) -> u64 {
        self.all().next().map_or(0, |s| s.rounds)
    }

    /// Instructions, from the first place that counts them.
    pub fn insns(&self) -> Option<u64> {
        self.all().find_map(|s| s.insns)
    }

    /// Median time in seconds.
    pub fn seconds(&self, place: Place) -> Option<f64> {
        median(self.of(place).iter().map(|s| s.seconds).collect())
    }

    /// Distance of the slowest from the fastest run, as a part of the median.
    pub fn spread(&self, place: Place) -> Option<f64> {
        let times = || self.of(place).iter().map(|s| s.seconds);
        let (least, most) = (times().reduce(f64::min)?, times().reduce(f64::max)?);
        Some((most - least) / self.seconds(place)?)
    }

    /// How many times as long as in `fast` it takes in `slow`.
    pub fn ratio(&self, slow: Place, fast: Place) -> Option<f64> {
        Some(self.seconds(slow)? / self.seconds(fast)?)
    }

    /// Percentage of the instructions that compiled code retired, in a place that has some.
    pub fn compiled_percent(&self, place: Place) -> Option<f64> {
        let sample = self.of(place).first()?;
        Some(sample.compiled? as f64 * 100.0 / sample.insns.filter(|&n| n != 0)? as f64)
    }

    /// Million instructions a second in a place that counts them.
    pub fn mips(&self, place: Place) -> Option<f64> {
        let insns = self.of(place).first()?.insns?;
        Some(insns as f64 / self.seconds(place)? / 1e6)
    }
}

impl Results {
    /// Geometric mean over the flat cases of `group` of how many times longer `slow` takes than `fast`.
    pub fn mean_ratio(&self, group: Group, slow: Place, fast: Place) -> Option<f64> {
        geometric_mean(self.flat(group).filter_map(|case| case.ratio(slow, fast)))
    }

    fn flat(&self, group: Group) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(move |case| case.group == group && !case.segmented)
    }

    /// Geometric mean of what other segments cost `place`, over the kernels measured both ways.
    pub fn segment_cost(&self, place: Place) -> Option<f64> {
        let both = self.cases.iter().filter(|case| case.segmented).filter_map(|case| {
            let flat = self.flat(case.group).find(|flat| flat.name == case.base_name)?;
            Some(case.seconds(place)? / flat.seconds(place)?)
        });
        geometric_mean(both)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), v| (sum + v.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::later::Engine;

    fn sample(seconds: f64, checksum: &str) -> Sample {
        Sample {
            seconds,
            insns: Some(1_000_000),
            compiled: Some(999_000),
            checksum: checksum.into(),
            rounds: 10,
        }
    }

    #[test]
    fn medians_spreads_and_means() {
        let ours = Place::Ours(Engine::Interp);
        let case = Case { name: "x".into(), group: Group::Integer };
        let mut result = CaseResult::new(&case, &[ours, Place::Qemu]);
        for seconds in [3.0, 1.0, 2.0] {
            result.add(&ours, sample(seconds, "a"));
        }
        result.add(&Place::Qemu, sample(8.0, "a"));
        assert_eq!(result.seconds(ours), Some(2.0));
        assert_eq!(result.spread(ours), Some(1.0));
        assert_eq!(result.ratio(Place::Qemu, ours), Some(4.0));
        assert_eq!((result.mips(ours), result.compiled_percent(ours)), (Some(0.5), Some(99.9)));
        assert_eq!(result.seconds(Place::Native), None);
        assert!(result.agrees());
        result.add(&Place::Qemu, sample(8.0, "b"));
        assert!(!result.agrees());
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        let mean = geometric_mean([2.0, 8.0].into_iter()).unwrap();
        assert!((mean - 4.0).abs() < 1e-9);
    }
}
