//! Reading sections out of the file, the environment and the flags.
//!
//! A value that is given in several of them is that of the strongest, but each
//! must be good.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment;
use super::problem::{Place, Problem, Problems};
use super::settings;
use super::table::{Default as SettingDefault, Section, Setting};
use super::values::Value;

/// The text of the file, and where it is from.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path, for errors.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// What configurations are read from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The weakest.
    pub file: Option<&'a File>,
    /// The variables of the environment, by their names.
    pub variables: &'a BTreeMap<String, OsString>,
    /// The strongest: flags, without dashes, and their values.
    pub flags: &'a [(&'static str, String)],
}

/// Reads one section after the other and keeps what is wrong.
pub struct Reader<'a> {
    sources: Sources<'a>,
    document: DeTable<'a>,
    problems: Vec<Problem>,
}

/// Where the values of one section were given, and which of them are bad.
#[derive(Clone, Debug)]
pub struct Given {
    section: &'static str,
    header: Place,
    keys: BTreeMap<&'static str, Place>,
    bad: BTreeSet<&'static str>,
    texts: BTreeMap<&'static str, String>,
}

impl Given {
    /// Whether the section has this key, from anywhere.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether what it was given is bad.
    #[must_use]
    pub fn is_bad(&self, key: &str) -> bool {
        self.bad.contains(key)
    }

    /// What it was given in the file, if that is a string and good.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// Where this key was given; if it was not, where the section begins.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        self.keys.get(key).unwrap_or(&self.header).clone()
    }

    /// How errors name this key.
    #[must_use]
    pub fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.section)
    }

    /// A problem with this key.
    #[must_use]
    pub fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        Problem {
            place: self.place(key),
            subject: self.name(key),
            text: text.into(),
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads the file as TOML, and names sections and variables that are unknown.
    #[must_use]
    pub fn new(sources: Sources<'a>) -> Self {
        let text = sources.file.map_or("", |file| file.text.as_str());
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self {
            sources,
            document: document.into_inner(),
            problems: Vec::new(),
        };
        for error in errors {
            let place = error
                .span()
                .map_or(Place::WholeFile, |span| reader.at(span.start));
            reader.add(place, "", error.message());
        }
        let unknown: Vec<_> = reader
            .document
            .keys()
            .filter(|key| !settings::all().iter().any(|s| s.header == key.get_ref()))
            .map(|key| (key.span().start, key.get_ref().to_string()))
            .collect();
        for (at, key) in unknown {
            let text = format!("unknown{}", suggestion(&key, None));
            reader.add(reader.at(at), key, text);
        }
        for (name, text) in environment::unknown(sources.variables) {
            reader.add(Place::Variable(name), "", text);
        }
        reader
    }

    /// Reads a section that the file may have once.
    pub fn section<S: Section + Default>(&mut self) -> (S, Given) {
        let found = self.document.get_key_value(S::HEADER);
        let found = found.map(|(key, value)| (key.span().start, value.get_ref().clone()));
        let header = found.as_ref().map(|(at, _)| self.at(*at));
        let header = header.unwrap_or(Place::WholeFile);
        let table = match found {
            Some((_, DeValue::Table(table))) => Some(table),
            Some(_) => {
                let text = format!("must be a table: [{}]", S::HEADER);
                self.add(header.clone(), S::HEADER, text);
                None
            }
            None => None,
        };
        let (section, given) = self.table(header, table, &mut BTreeMap::new());
        (section.unwrap_or_default(), given)
    }

    /// Reads a section that the file may have several times.
    pub fn tables<S: Section>(&mut self) -> Vec<(Option<S>, Given)> {
        let Some((key, value)) = self.document.get_key_value(S::HEADER) else {
            return Vec::new();
        };
        let (at, value) = (key.span().start, value.clone());
        let wrong = |this: &mut Self, at| {
            let text = format!("must be an array of tables: [[{}]]", S::HEADER);
            this.add(this.at(at), S::HEADER, text);
        };
        let DeValue::Array(items) = value.into_inner() else {
            wrong(self, at);
            return Vec::new();
        };
        let mut seen = BTreeMap::new();
        let mut tables = Vec::new();
        for item in items {
            let at = item.span().start;
            match item.into_inner() {
                DeValue::Table(table) => {
                    tables.push(self.table(self.at(at), Some(table), &mut seen));
                }
                _ => wrong(self, at),
            }
        }
        tables
    }

    /// Keeps what else is wrong.
    pub fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The end: a configuration, if nothing is wrong.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub fn finish<T>(self, read: T) -> Result<T, Problems> {
        let mut list = self.problems;
        if list.is_empty() {
            return Ok(read);
        }
        list.sort();
        // What is no TOML has no good value either.
        list.dedup_by(|later, first| {
            later == first || (later.place == first.place && first.subject.is_empty())
        });
        Err(Problems {
            file: self.sources.file.map(|file| file.path.clone()),
            list,
        })
    }

    fn table<S: Section>(
        &mut self,
        header: Place,
        table: Option<DeTable<'a>>,
        seen: &mut BTreeMap<(&'static str, String), usize>,
    ) -> (Option<S>, Given) {
        let settings = S::settings();
        let table = table.unwrap_or_default();
        for key in table.keys() {
            if !settings.iter().any(|setting| setting.key == key.get_ref()) {
                let text = format!("unknown{}", suggestion(key.get_ref(), Some(S::HEADER)));
                let subject = format!("{}.{}", S::HEADER, key.get_ref());
                self.add(self.at(key.span().start), subject, text);
            }
        }
        let mut fields = Fields {
            given: Given {
                section: S::HEADER,
                header,
                keys: BTreeMap::new(),
                bad: BTreeSet::new(),
                texts: BTreeMap::new(),
            },
            settings,
            table,
            seen,
            reader: self,
        };
        let section = S::read(&mut fields);
        (section, fields.given)
    }

    fn at(&self, byte: usize) -> Place {
        let text = self.sources.file.map_or("", |file| file.text.as_str());
        Place::of(text, byte)
    }

    fn add(&mut self, place: Place, subject: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem {
            place,
            subject: subject.into(),
            text: text.into(),
        });
    }
}

/// Reads the values of one section.
pub struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    settings: Vec<Setting>,
    table: DeTable<'a>,
    given: Given,
    /// The values that must be unique, and the lines where they were seen.
    seen: &'r mut BTreeMap<(&'static str, String), usize>,
}

impl Fields<'_, '_> {
    /// Reads a value; `None` if none was given, or a bad one.
    pub fn read<T: Value>(&mut self, key: &'static str) -> Option<T> {
        let setting = self.settings.iter().find(|setting| setting.key == key)?;
        let setting = setting.clone();
        let mut strongest = None;
        if let Some((name, value)) = self.table.remove_entry(key) {
            strongest = self.read_file(&setting, name.span().start, &value);
        }
        if let Some(name) = setting.variable()
            && let Some(value) = self.reader.sources.variables.get(&name)
        {
            let read = match value.to_str() {
                Some(text) => T::from_text(text, &setting),
                None => Err("is not UTF-8".to_owned()),
            };
            strongest = self.take(&setting, Place::Variable(name), read, strongest);
        }
        for (flag, text) in self.reader.sources.flags {
            if Some(*flag) == setting.flag {
                let read = T::from_text(text, &setting);
                strongest = self.take(&setting, Place::Flag(flag), read, strongest);
            }
        }
        if setting.default == SettingDefault::Required && !self.given.has(key) {
            let problem = self.given.problem(key, "must be given");
            self.reader.problem(problem);
        }
        strongest
    }

    fn read_file<T: Value>(
        &mut self,
        setting: &Setting,
        key_at: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<T> {
        let place = self.reader.at(key_at);
        let mut wrong = Vec::new();
        let read = T::from_toml(value, setting, &mut wrong);
        if setting.unique
            && let Some(text) = value.get_ref().as_str()
            && let Place::File { line, .. } = place
        {
            let first = self.seen.entry((setting.key, text.to_owned()));
            let first = *first.or_insert(line);
            if first != line {
                wrong.push((value.span(), format!("is that of line {first} already")));
            }
        }
        self.given.keys.insert(setting.key, place);
        if let (Some(text), true) = (value.get_ref().as_str(), wrong.is_empty()) {
            self.given.texts.insert(setting.key, text.to_owned());
        }
        for (span, text) in wrong {
            self.given.bad.insert(setting.key);
            let place = self.reader.at(span.start);
            self.reader.add(place, setting.name(), text);
        }
        read
    }

    /// What was read from a stronger place, or what there was if that is bad.
    fn take<T>(
        &mut self,
        setting: &Setting,
        place: Place,
        read: Result<T, String>,
        weaker: Option<T>,
    ) -> Option<T> {
        self.given.keys.insert(setting.key, place.clone());
        match read {
            Ok(value) => Some(value),
            Err(text) => {
                self.given.bad.insert(setting.key);
                self.reader.add(place, setting.name(), text);
                weaker
            }
        }
    }
}

/// What somebody may have meant by an unknown key of a section (`None`: outside
/// all sections): the nearest there, or one that is nearer elsewhere.
fn suggestion(key: &str, section: Option<&str>) -> String {
    const ELSEWHERE: f64 = 0.1;

    let nearness = |name: &str| nearness(name, key);
    let sections = settings::all();
    let headers = sections
        .iter()
        .filter(|_| section.is_none())
        .map(|rows| (nearness(rows.header), rows.title()));
    let settings = sections.iter().flat_map(|rows| &rows.settings);
    let keys = settings.map(|setting| {
        if Some(setting.section) == section {
            (nearness(setting.key), setting.key.to_owned())
        } else {
            (nearness(setting.key) - ELSEWHERE, setting.name())
        }
    });
    did_you_mean(headers.chain(keys))
}

/// How near what was written is to a name: at most 1.
pub(super) fn nearness(name: &str, written: &str) -> f64 {
    match strsim::osa_distance(name, written) {
        // One letter is wrong, or two are swapped: of short names that is much.
        0 | 1 => 1.0,
        _ => strsim::jaro_winkler(name, written),
    }
}

/// The nearest name as a question, the first of several, or nothing, where none is
/// near.
pub(super) fn did_you_mean(names: impl Iterator<Item = (f64, String)>) -> String {
    const NEAR: f64 = 0.8;

    names
        .filter(|(nearness, _)| *nearness > NEAR)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map_or_else(String::new, |(_, shown)| {
            format!("; did you mean `{shown}`?")
        })
}
