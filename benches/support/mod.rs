//! What the benchmarks share: interleaved measurement, and a table of both
//! sides.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "each benchmark uses a part of it, and a benchmark may panic"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

pub mod bare;
pub mod kinds;
pub mod serving;
pub mod typical;

/// The number that this environment variable gives, or a default.
pub fn setting<T: FromStr>(variable: &str, default: T) -> T {
    let Ok(text) = std::env::var(variable) else {
        return default;
    };
    let Ok(value) = text.parse() else {
        panic!("{variable} is no number: {text}");
    };
    value
}

/// How many interleaved pairs are measured.
pub fn pairs() -> usize {
    setting("CREDD_BENCH_PAIRS", 10)
}

/// How long a side of a pair runs where it runs for a time.
pub fn period() -> Duration {
    Duration::from_millis(setting("CREDD_BENCH_MILLIS", 1000))
}

/// Measurements of credd and of what it is compared with, taken in turn.
pub struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    /// Measures `ours` and `bare` in turn, after one round of each that does
    /// not count. Which comes first alternates, so that neither profits from
    /// what the other leaves behind.
    pub fn measure(mut ours: impl FnMut() -> f64, mut bare: impl FnMut() -> f64) -> Self {
        ours();
        bare();
        let pair = |turn: usize| {
            if turn.is_multiple_of(2) {
                let ours = ours();
                (ours, bare())
            } else {
                let bare = bare();
                (ours(), bare)
            }
        };
        Self::of((0..pairs()).map(pair))
    }

    /// What was measured elsewhere, in turn.
    pub fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    pub fn ours(&self) -> f64 {
        median(self.0.iter().map(|pair| pair.0).collect())
    }

    pub fn bare(&self) -> f64 {
        median(self.0.iter().map(|pair| pair.1).collect())
    }

    fn each(&self, compare: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        self.0
            .iter()
            .map(|&(ours, bare)| compare(ours, bare))
            .collect()
    }
}

/// How two sides are compared, and what is allowed.
#[derive(Clone, Copy)]
pub enum Budget {
    /// The ratio of ours to theirs is at least this.
    RatioAtLeast(f64),
    /// The ratio of ours to theirs is at most this.
    RatioAtMost(f64),
    /// Ours exceeds theirs by at most this.
    ExcessAtMost(f64),
    /// The ratio is told, and nothing is asked of it.
    Told,
}

/// A table of what was measured.
pub struct Table {
    title: String,
    rows: Vec<[String; 7]>,
}

impl Table {
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a comparison: the medians of both sides, the median of what the
    /// pairs came to, with the least and the greatest, and the budget.
    pub fn compare(&mut self, what: &str, unit: &str, pairs: &Pairs, budget: Budget) {
        let difference = matches!(budget, Budget::ExcessAtMost(_));
        let each = pairs.each(|ours, bare| if difference { ours - bare } else { ours / bare });
        let middle = median(each.clone());
        let least = each.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let show = |value: f64| {
            if difference {
                format!("{value:+.0}")
            } else {
                format!("{value:.3}")
            }
        };
        let (asked, met) = match budget {
            Budget::RatioAtLeast(bound) => (format!(">= {bound}"), verdict(middle >= bound)),
            Budget::RatioAtMost(bound) => (format!("<= {bound}"), verdict(middle <= bound)),
            Budget::ExcessAtMost(bound) => (format!("<= +{bound}"), verdict(middle <= bound)),
            Budget::Told => (String::new(), ""),
        };
        self.rows.push([
            what.to_owned(),
            format!("{} {unit}", number(pairs.ours())),
            format!("{} {unit}", number(pairs.bare())),
            show(middle),
            format!("{}..{}", show(least), show(greatest)),
            asked,
            met.to_owned(),
        ]);
    }

    /// Adds a figure that is not compared with another.
    pub fn figure(&mut self, what: &str, unit: &str, value: f64, at_most: Option<f64>) {
        let mut row: [String; 7] = Default::default();
        what.clone_into(&mut row[0]);
        row[1] = format!("{} {unit}", number(value));
        if let Some(bound) = at_most {
            row[5] = format!("<= {}", number(bound));
            verdict(value <= bound).clone_into(&mut row[6]);
        }
        self.rows.push(row);
    }

    /// Adds a figure with a word on it.
    pub fn noted(&mut self, what: &str, unit: &str, value: f64, note: &str) {
        self.figure(what, unit, value, None);
        if let Some(row) = self.rows.last_mut() {
            note.clone_into(&mut row[6]);
        }
    }

    /// Writes it to the standard output.
    pub fn print(&self) {
        const HEAD: [&str; 7] = ["", "credd", "bare", "ratio", "least..most", "budget", ""];
        let widths: [usize; 7] = std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEAD[column].len()]).max().unwrap_or_default()
        });
        println!("\n{}\n", self.title);
        let line = |cells: [&str; 7]| {
            let mut columns = cells.iter().zip(widths);
            let mut line: Vec<String> = Vec::new();
            line.extend(
                columns
                    .next()
                    .map(|(cell, width)| format!("{cell:<width$}")),
            );
            line.extend(columns.map(|(cell, width)| format!("{cell:>width$}")));
            println!("{}", line.join("  ").trim_end());
        };
        line(HEAD);
        for row in &self.rows {
            line(row.each_ref().map(String::as_str));
        }
    }
}

/// Says on what and how a benchmark ran.
pub fn preamble(what: &str) {
    println!(
        "{what}\n{}; medians of {} interleaved pairs",
        machine(),
        pairs()
    );
}

/// What the machine has, and how busy it is.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cores} cores, load {load}")
}

/// Seconds that something takes.
pub fn seconds<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let begin = Instant::now();
    let value = run();
    (begin.elapsed().as_secs_f64(), value)
}

/// Does something while a byte in the middle of a file is another.
pub fn while_changed<T>(path: &Path, run: impl FnOnce() -> T) -> T {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let at = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let value = run();
    file.write_all_at(&byte, at).unwrap();
    value
}

pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "at least one pair");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// With thousands apart, or three digits if it is small.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.3}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Numbers that look random and are the same in every run (`SplitMix64`; G. L.
/// Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
pub struct Mix(pub u64);

impl Mix {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A permutation of the numbers below `count`.
    pub fn permutation(&mut self, count: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..u32::try_from(count).unwrap()).collect();
        for at in (1..count).rev() {
            let other = usize::try_from(self.next() % (at as u64 + 1)).unwrap();
            order.swap(at, other);
        }
        order
    }
}

pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
