//! A scraper of `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A port that is free now.
pub fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// What `/metrics` answers, with its headers.
pub async fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: credd\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

/// What is told of a metric beside its values.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub kind: String,
    pub help: String,
    /// The names of its labels, without those of the format.
    pub labels: BTreeSet<String>,
}

/// What `/metrics` shows, read.
#[derive(Debug)]
pub struct Scraped {
    /// The values, each by its name and labels as they stand there.
    values: BTreeMap<String, f64>,
    /// What there is, by the names without what a type adds to them.
    pub told: BTreeMap<String, Told>,
}

impl Scraped {
    /// Scrapes.
    pub async fn of(address: SocketAddr) -> Self {
        Self::read(&scrape(address).await)
    }

    fn read(answer: &str) -> Self {
        let (_, text) = answer.split_once("\r\n\r\n").unwrap();
        let (mut values, mut told) = (BTreeMap::new(), BTreeMap::<String, Told>::new());
        let mut last = String::new();
        for line in text.lines() {
            if let Some(line) = line.strip_prefix("# ") {
                let mut words = line.splitn(3, ' ');
                let (what, name, rest) = (words.next(), words.next(), words.next());
                let (Some(what), Some(name), Some(rest)) = (what, name, rest) else {
                    assert_eq!(line, "EOF");
                    continue;
                };
                name.clone_into(&mut last);
                let told = told.entry(last.clone()).or_default();
                match what {
                    "HELP" => rest.clone_into(&mut told.help),
                    "TYPE" => rest.clone_into(&mut told.kind),
                    _ => assert_eq!(what, "UNIT"),
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            values.insert(series.to_owned(), value.parse().unwrap());
            assert!(series.starts_with(&last), "{series} after {last}");
            let labels = series.split_once('{').map_or("", |(_, labels)| labels);
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            let names = names.map(|(name, _)| name.to_owned());
            let told = told.get_mut(&last).unwrap();
            told.labels.extend(names.filter(|name| name != "le"));
        }
        Self { values, told }
    }

    /// The value of a series; 0: it is not there.
    pub fn value(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or_default()
    }

    /// Whether a series is there.
    pub fn has(&self, series: &str) -> bool {
        self.values.contains_key(series)
    }

    /// By how much a series has grown since.
    pub fn since(&self, before: &Self, series: &str) -> f64 {
        self.value(series) - before.value(series)
    }

    /// The names and labels of all values.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}
