//! The types that settings have, and how each is read from a text.
//!
//! Flags and variables are texts; a value of the file is one too, once its TOML
//! type is right. No error quotes a value: somebody may have put a secret there.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::table::Setting;
use crate::domain::names::{CellName, Description, InvalidText, PrincipalName, Role, Tenant};
use crate::domain::permission::{CreddGrant, Permission};
use crate::domain::rights::Reach;

/// What a value is in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// An integer.
    Integer,
    /// A number, with a fraction or without.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An array of strings.
    List,
}

impl Form {
    const fn with_article(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::List => "a list of strings",
        }
    }
}

/// Something wrong with a part of a value of the file.
pub type Wrong = (std::ops::Range<usize>, String);

/// A type that a setting can have.
pub trait Value: Sized {
    /// What it is in TOML.
    const FORM: Form;
    /// What kind of thing it is.
    const WHAT: &'static str;
    /// What stands for it in the help of a flag.
    const PLACEHOLDER: &'static str;

    /// Reads what stands in the file; adds to `wrong` whatever is.
    fn from_toml(
        value: &Spanned<DeValue<'_>>,
        setting: &Setting,
        wrong: &mut Vec<Wrong>,
    ) -> Option<Self>;

    /// Reads a flag or a variable.
    ///
    /// # Errors
    ///
    /// What it must be.
    fn from_text(text: &str, setting: &Setting) -> Result<Self, String>;

    /// How it stands in the file; `None`: it is unset.
    fn show(&self) -> Option<String>;
}

/// A value that is one text.
pub trait Scalar: Sized {
    /// What it is in TOML.
    const FORM: Form = Form::Text;
    /// What kind of thing it is.
    const WHAT: &'static str;
    /// What stands for it in the help of a flag.
    const PLACEHOLDER: &'static str = "TEXT";

    /// Reads it.
    ///
    /// # Errors
    ///
    /// What it must be.
    fn parse(text: &str) -> Result<Self, String>;

    /// Its text, from which it is read again.
    fn text(&self) -> String;
}

impl<T: Scalar> Value for T {
    const FORM: Form = T::FORM;
    const WHAT: &'static str = T::WHAT;
    const PLACEHOLDER: &'static str = T::PLACEHOLDER;

    fn from_toml(
        value: &Spanned<DeValue<'_>>,
        setting: &Setting,
        wrong: &mut Vec<Wrong>,
    ) -> Option<Self> {
        let read = match (T::FORM, value.get_ref()) {
            (Form::Text, DeValue::String(text)) => Self::from_text(text, setting),
            (Form::Boolean, DeValue::Boolean(value)) => {
                Self::from_text(if *value { "true" } else { "false" }, setting)
            }
            (Form::Integer, DeValue::Integer(number)) => {
                // One that is too large or negative is outside every range.
                let number = u64::from_str_radix(number.as_str(), number.radix());
                let text = number.map_or_else(|_| String::new(), |number| number.to_string());
                Self::from_text(&text, setting)
            }
            (Form::Number, DeValue::Integer(number)) if number.radix() == 10 => {
                Self::from_text(number.as_str(), setting)
            }
            (Form::Number, DeValue::Float(number)) => Self::from_text(number.as_str(), setting),
            (_, other) => Err(not_a(T::FORM, other)),
        };
        read.map_err(|text| wrong.push((value.span(), text))).ok()
    }

    fn from_text(text: &str, setting: &Setting) -> Result<Self, String> {
        if T::FORM == Form::Integer {
            let rule = || format!("must be {}", setting.rule());
            let number: u64 = text.parse().map_err(|_| rule())?;
            if setting.range.as_ref().is_some_and(|r| !r.contains(&number)) {
                return Err(rule());
            }
        }
        Self::parse(text)
    }

    fn show(&self) -> Option<String> {
        Some(show(self))
    }
}

impl<T: Scalar> Value for Option<T> {
    const FORM: Form = T::FORM;
    const WHAT: &'static str = T::WHAT;
    const PLACEHOLDER: &'static str = T::PLACEHOLDER;

    fn from_toml(
        value: &Spanned<DeValue<'_>>,
        setting: &Setting,
        wrong: &mut Vec<Wrong>,
    ) -> Option<Self> {
        T::from_toml(value, setting, wrong).map(Some)
    }

    fn from_text(text: &str, setting: &Setting) -> Result<Self, String> {
        T::from_text(text, setting).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(show)
    }
}

/// Lists stand in the file alone.
impl<T: Scalar> Value for Vec<T> {
    const FORM: Form = Form::List;
    const WHAT: &'static str = T::WHAT;
    const PLACEHOLDER: &'static str = T::PLACEHOLDER;

    fn from_toml(
        value: &Spanned<DeValue<'_>>,
        setting: &Setting,
        wrong: &mut Vec<Wrong>,
    ) -> Option<Self> {
        let DeValue::Array(items) = value.get_ref() else {
            wrong.push((value.span(), not_a(Form::List, value.get_ref())));
            return None;
        };
        let before = wrong.len();
        if let Some(range) = &setting.range
            && !range.contains(&(items.len() as u64))
        {
            let text = format!("must have {} to {} items", range.start(), range.end());
            wrong.push((value.span(), text));
        }
        let mut list = Self::with_capacity(items.len());
        let mut texts = std::collections::BTreeSet::new();
        for item in items {
            let Some(read) = T::from_toml(item, setting, wrong) else {
                continue;
            };
            if !texts.insert(read.text()) {
                wrong.push((item.span(), "stands in the list twice".to_owned()));
            }
            list.push(read);
        }
        (wrong.len() == before).then_some(list)
    }

    fn from_text(_: &str, setting: &Setting) -> Result<Self, String> {
        Err(format!("must be {}", setting.rule()))
    }

    fn show(&self) -> Option<String> {
        let items: Vec<_> = self.iter().map(show).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

fn show<T: Scalar>(value: &T) -> String {
    match T::FORM {
        Form::Text => format!("{:?}", value.text()),
        _ => value.text(),
    }
}

fn not_a(form: Form, value: &DeValue<'_>) -> String {
    format!(
        "must be {}, and is of type {}",
        form.with_article(),
        value.type_str()
    )
}

macro_rules! integer {
    ($($type:ty),+) => {$(
        impl Scalar for $type {
            const FORM: Form = Form::Integer;
            const WHAT: &'static str = "an integer";
            const PLACEHOLDER: &'static str = "N";

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| "must be an integer".to_owned())
            }

            fn text(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

integer!(u32, u64, usize);

impl Scalar for bool {
    const FORM: Form = Form::Boolean;
    const WHAT: &'static str = "true or false";
    const PLACEHOLDER: &'static str = "BOOL";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Scalar for SocketAddr {
    const WHAT: &'static str = "an IP address and a port";
    const PLACEHOLDER: &'static str = "ADDR";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            "must be an IP address and a port, such as `127.0.0.1:7420` or `[::1]:7420`".to_owned()
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Scalar for PathBuf {
    const WHAT: &'static str = "a path";
    const PLACEHOLDER: &'static str = "PATH";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("must be a path".to_owned());
        }
        Ok(text.into())
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

/// Types of the domain that have parsers there.
macro_rules! of_the_domain {
    ($($type:ty: $what:literal;)+) => {$(
        impl Scalar for $type {
            const WHAT: &'static str = $what;

            fn parse(text: &str) -> Result<Self, String> {
                Self::parse(text).map_err(|InvalidText(rule)| rule.to_owned())
            }

            fn text(&self) -> String {
                self.as_str().to_owned()
            }
        }
    )+};
}

of_the_domain! {
    Role: "the name of a role";
    Tenant: "the name of a tenant";
    CellName: "the name of a cell";
    Description: "a text for people";
    Reach: "the name of a tenant, or `*`";
    PrincipalName: "a caller's name";
}

/// One that gives at least one of the permissions that there are.
impl Scalar for CreddGrant {
    const WHAT: &'static str = "permissions on credd";

    fn parse(text: &str) -> Result<Self, String> {
        let grant = Self::parse(text).map_err(|InvalidText(rule)| rule.to_owned())?;
        let gives = |permission: &&Permission| grant.covers(permission.name());
        match Permission::ALL.iter().find(gives) {
            Some(_) => Ok(grant),
            None => Err("gives none of the permissions on credd that there are".to_owned()),
        }
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

/// What to log: directives that `tracing_subscriber::EnvFilter` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirectives(String);

impl LogDirectives {
    /// What the level `info` lets through.
    #[must_use]
    pub fn info() -> Self {
        Self("info".to_owned())
    }

    /// Their text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scalar for LogDirectives {
    const WHAT: &'static str = "a level, or directives";

    fn parse(text: &str) -> Result<Self, String> {
        let is_read = EnvFilter::builder().parse(text).is_ok();
        if is_read && text.split(',').all(is_level_or_names_one) {
            return Ok(Self(text.to_owned()));
        }
        Err(
            "must be `error`, `warn`, `info`, `debug`, `trace` or `off`, or directives such as `info,credd::store=debug`"
                .to_owned(),
        )
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Whether a directive is a level, or gives one to a target or a span. `EnvFilter` takes
/// any other text for the name of a target, and lets through nothing of all others.
fn is_level_or_names_one(directive: &str) -> bool {
    match directive.split_once('=') {
        None => directive.is_empty() || directive.parse::<LevelFilter>().is_ok(),
        // What is in brackets are a span and its fields.
        Some((target, _)) => {
            let (target, _) = target.split_once('[').unwrap_or((target, ""));
            let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '-');
            target.chars().all(is_of_name)
        }
    }
}

/// Where audit events go, beside the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFile {
    /// To this file.
    Path(PathBuf),
    /// To standard output.
    StandardOutput,
}

impl Scalar for AuditFile {
    const WHAT: &'static str = "a path, or `-`";
    const PLACEHOLDER: &'static str = "PATH";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::StandardOutput),
            _ => Scalar::parse(text).map(Self::Path),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Path(path) => path.text(),
            Self::StandardOutput => "-".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_logged_is_a_level_or_gives_levels_to_targets() {
        for text in [
            "warn",
            "WARN",
            "off",
            "3",
            "info,credd::calls=debug",
            "credd=trace,info",
            "warn,credd-x_y=off,",
            "info,credd[call{method=Issue}]=debug",
            "info,[call]=debug",
        ] {
            assert_eq!(LogDirectives::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "warning",
            "verbose",
            "inf",
            "err",
            "7",
            "info;credd::calls=debug",
            "info debug=warn",
            "info, debug",
            "info,credd::store",
            "info,credd::store=loud",
            "[call]",
        ] {
            let wrong = LogDirectives::parse(text).unwrap_err();
            assert!(
                wrong.starts_with("must be `error`, `warn`"),
                "{text}: {wrong}"
            );
        }
    }
}
