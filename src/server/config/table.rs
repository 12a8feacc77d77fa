//! The table of settings: what a row says, and the macros that make a typed
//! struct of rows.
//!
//! A row stands once, in [`super::settings`]. Its key in the file, its flag, its
//! variable, its help, its entry in the documented file and the field of the
//! struct all come from there.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::read::Fields;
use super::values::{Form, Value};

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The section that it stands in.
    pub section: &'static str,
    /// Its key there.
    pub key: &'static str,
    /// What it means, in lines.
    pub meaning: &'static str,
    /// What its value is in TOML.
    pub form: Form,
    /// What kind of thing its value is.
    pub what: &'static str,
    /// What stands for its value in the help of its flag.
    pub placeholder: &'static str,
    /// Its default.
    pub default: Default,
    /// A value that it could have, in TOML, where there is no default to show.
    pub example: &'static str,
    /// What an integer may be; of a list, how many items it may have.
    pub range: Option<RangeInclusive<u64>>,
    /// Its flag, without dashes; `None`: it stands in the file alone.
    pub flag: Option<&'static str>,
    /// Whether no two tables of its section may have the same.
    pub unique: bool,
}

/// The value that a setting has if it is not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Default {
    /// This one, in TOML.
    Value(String),
    /// None: what it is for is not done.
    Unset,
    /// It must be given.
    Required,
}

impl Setting {
    /// A setting with this default (`None`: it must be given), that only the
    /// file can have.
    pub fn new<T: Value>(
        section: &'static str,
        key: &'static str,
        meaning: &'static str,
        default: Option<T>,
    ) -> Self {
        Self {
            section,
            key,
            meaning,
            form: T::FORM,
            what: T::WHAT,
            placeholder: T::PLACEHOLDER,
            default: default.map_or(Default::Required, |value| {
                value.show().map_or(Default::Unset, Default::Value)
            }),
            example: "",
            range: None,
            flag: None,
            unique: false,
        }
    }

    /// With a value that it could have, in TOML.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// With what an integer may be, or how many items a list may have.
    #[must_use]
    pub const fn range(mut self, range: RangeInclusive<u64>) -> Self {
        self.range = Some(range);
        self
    }

    /// With a flag, and a variable of the environment, of this name.
    #[must_use]
    pub const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    /// No two tables of its section may have the same.
    #[must_use]
    pub const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// How errors name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// Its variable of the environment.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let flag = self.flag?;
        Some(format!(
            "CREDD_{}",
            flag.to_ascii_uppercase().replace('-', "_")
        ))
    }

    /// The lines of its meaning.
    pub fn meaning_lines(&self) -> impl Iterator<Item = &'static str> {
        self.meaning.lines().map(str::trim)
    }

    /// What its value must be.
    #[must_use]
    pub fn rule(&self) -> String {
        let mut rule = String::from(self.what);
        if let Some(range) = &self.range {
            let (least, most) = (range.start(), range.end());
            // Writing to a String does not fail.
            let _ = match self.form {
                Form::List => write!(rule, ", {least} to {most} of them"),
                _ => write!(rule, " from {least} to {most}"),
            };
        }
        rule
    }
}

/// A section of the file: a struct that was made of rows.
pub trait Section: Sized {
    /// The name of its table in the file.
    const HEADER: &'static str;
    /// What it is about, in lines.
    const ABOUT: &'static str;
    /// Whether the file may have it several times, as an array of tables.
    const REPEATED: bool;

    /// Its rows.
    fn settings() -> Vec<Setting>;

    /// Reads it; `None` if what is required is not there or is bad. In place of
    /// other bad values it has their defaults.
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self>;
}

/// A section, as the documentation sees it.
#[derive(Clone, Debug)]
pub struct SectionRows {
    /// The name of its table in the file.
    pub header: &'static str,
    /// What it is about, in lines.
    pub about: &'static str,
    /// Whether the file may have it several times, as an array of tables.
    pub repeated: bool,
    /// Its rows.
    pub settings: Vec<Setting>,
}

impl SectionRows {
    /// Those of a section.
    #[must_use]
    pub fn of<S: Section>() -> Self {
        Self {
            header: S::HEADER,
            about: S::ABOUT,
            repeated: S::REPEATED,
            settings: S::settings(),
        }
    }

    /// Its header, as it stands in the file.
    #[must_use]
    pub fn title(&self) -> String {
        if self.repeated {
            format!("[[{}]]", self.header)
        } else {
            format!("[{}]", self.header)
        }
    }
}

/// `None` of nothing, `Some` of something.
macro_rules! option {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

/// Makes a struct of rows, that can be read and documented. A row is
/// `key: Type = default, attribute(...);` where attributes are the methods of
/// [`Setting`]; without a default it must be given.
macro_rules! rows {
    (
        repeated: $repeated:literal,
        $(#[doc = $about:literal])+
        $name:ident = $header:literal {
            $(
                $(#[doc = $meaning:literal])+
                $key:ident: $type:ty $(= $default:expr)? $(, $attribute:ident($($argument:expr)?))*;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[doc = $meaning])+
                pub $key: $type,
            )+
        }

        impl $crate::server::config::table::Section for $name {
            const HEADER: &'static str = $header;
            const ABOUT: &'static str = concat!($($about, "\n"),+);
            const REPEATED: bool = $repeated;

            fn settings() -> Vec<$crate::server::config::table::Setting> {
                use $crate::server::config::table::{Setting, option};
                vec![
                    $(
                        Setting::new::<$type>(
                            $header,
                            stringify!($key),
                            concat!($($meaning, "\n"),+),
                            option!($($default)?),
                        )
                        $(.$attribute($($argument)?))*,
                    )+
                ]
            }

            fn read(
                fields: &mut $crate::server::config::read::Fields<'_, '_>,
            ) -> Option<Self> {
                use $crate::server::config::table::option;
                // All of them, before any that is missing ends this.
                $(let $key: Option<$type> = fields.read(stringify!($key));)+
                Some(Self {
                    $($key: $key.or_else(|| option!($($default)?))?,)+
                })
            }
        }
    };
}

/// Makes a section that the file may have once, in which nothing is required.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident = $header:literal {
            $(
                $(#[doc = $meaning:literal])+
                $key:ident: $type:ty = $default:expr $(, $attribute:ident($($argument:expr)?))*;
            )+
        }
    ) => {
        $crate::server::config::table::rows! {
            repeated: false,
            $(#[doc = $about])+
            $name = $header {
                $(
                    $(#[doc = $meaning])+
                    $key: $type = $default $(, $attribute($($argument)?))*;
                )+
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $default,)+
                }
            }
        }
    };
}

/// Makes a section that the file may have several times.
macro_rules! tables {
    ($($rows:tt)+) => {
        $crate::server::config::table::rows! { repeated: true, $($rows)+ }
    };
}

pub(super) use {option, rows, section, tables};
