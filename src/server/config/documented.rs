//! The settings as people read them: the documented file, and the help of flags.

use super::settings;
use super::table::{Default, Setting};

const HEAD: &str = "\
# The configuration of credd, in TOML: every setting there is.
#
# A setting is taken from a flag of the command line, else from a variable of the
# environment, else from this file, else it has its default. Keys that are not in
# here are errors, and so are variables CREDD_... that nobody reads. Relative paths are
# relative to the directory that credd is started in. Check a file with
# `credd config check --config FILE`.
#
# `#key = value` has the default. `## key = value` is an example, of what has no
# default or may be there several times.
";

/// The documented file.
#[must_use]
pub fn file() -> String {
    let mut lines: Vec<String> = vec![HEAD.trim_end().to_owned()];
    for section in settings::all() {
        lines.push(String::new());
        let about = section.about.lines().map(|line| comment(line.trim()));
        lines.extend(about);
        lines.push(if section.repeated {
            format!("## {}", section.title())
        } else {
            section.title()
        });
        for setting in &section.settings {
            lines.push(String::new());
            lines.extend(setting.meaning_lines().map(comment));
            lines.push(comment(&facts(setting)));
            let assignment = format!("{} = {}", setting.key, shown(setting));
            lines.push(match (&setting.default, section.repeated) {
                (Default::Value(_), false) => format!("#{assignment}"),
                _ => format!("## {assignment}"),
            });
        }
    }
    lines.join("\n") + "\n"
}

/// What is said of a flag by `--help`.
#[must_use]
pub fn help(setting: &Setting) -> String {
    let mut help = setting.meaning_lines().collect::<Vec<_>>().join(" ");
    let range = setting.range.is_some().then(|| setting.rule());
    let variable = setting.variable().map(|name| format!("env: {name}"));
    let default = match &setting.default {
        Default::Value(value) => Some(format!("default: {}", value.trim_matches('"'))),
        Default::Unset | Default::Required => None,
    };
    for fact in [range, variable, default].into_iter().flatten() {
        help.extend([" [", &fact, "]"]);
    }
    help
}

/// What it must be, whether it must be given, and where else it can be.
fn facts(setting: &Setting) -> String {
    let mut facts = setting.rule();
    if let Some(first) = facts.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    match setting.default {
        Default::Value(_) => (),
        Default::Unset => facts.push_str("; unset by default"),
        Default::Required => facts.push_str("; required"),
    }
    if let (Some(flag), Some(variable)) = (setting.flag, setting.variable()) {
        facts.extend(["; --", flag, ", ", &variable]);
    }
    facts + "."
}

fn shown(setting: &Setting) -> &str {
    match &setting.default {
        Default::Value(value) => value,
        Default::Unset | Default::Required => setting.example,
    }
}

fn comment(line: &str) -> String {
    format!("# {line}")
}
