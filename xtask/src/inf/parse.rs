//! INF files as text: sections, entries, fields, string tokens.
//!
//! The syntax is that of "General Syntax Rules for INF Files": `;` begins a comment, `\` at the end of a
//! line joins it with the next, double quotes keep both (and commas, and `=`) from meaning anything,
//! and names are the same in either case.

use std::collections::HashMap;

/// A file that has been read.
pub(super) struct Inf {
    /// In the order of the file. A name may stand there twice; Windows reads both as one.
    pub(super) sections: Vec<Section>,
    /// What could not be read, by line.
    pub(super) faults: Vec<(usize, String)>,
    strings: HashMap<String, String>,
}

/// A section.
pub(super) struct Section {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) entries: Vec<Entry>,
}

/// One entry of a section: `key = field, field` or `field, field`.
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: Option<String>,
    /// Without quotes and outer blanks, tokens not yet replaced.
    pub(super) fields: Vec<String>,
}

impl Entry {
    /// Whether the key is this one.
    pub(super) fn is(&self, key: &str) -> bool {
        self.key.as_deref().is_some_and(|own| same(own, key))
    }

    /// A field, empty where there is none.
    pub(super) fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", String::as_str)
    }
}

impl Section {
    /// Its entries with this key.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.is(key))
    }

    /// Its first entry with this key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is(key))
    }
}

impl Inf {
    /// Reads a whole file. What is wrong with its syntax is in `faults`.
    pub(super) fn read(text: &str) -> Self {
        let mut inf = Self {
            sections: Vec::new(),
            faults: Vec::new(),
            strings: HashMap::new(),
        };
        for (line, content) in logical_lines(text) {
            inf.take(line, &content);
        }
        let mut strings = HashMap::new();
        for entry in inf.all("Strings").flat_map(|section| &section.entries) {
            if let Some(key) = &entry.key {
                strings.insert(key.to_ascii_lowercase(), entry.fields.join(","));
            }
        }
        inf.strings = strings;
        inf
    }

    /// The first section with this name.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.all(name).next()
    }

    /// Every section with this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Section> {
        self.sections
            .iter()
            .filter(move |section| same(&section.name, name))
    }

    /// The first entry with this key in a section, its first field with tokens replaced; empty where
    /// there is none.
    pub(super) fn value(&self, section: &str, key: &str) -> String {
        let entry = self.section(section).and_then(|section| section.get(key));
        entry.map_or_else(String::new, |entry| self.expand(entry.field(0)))
    }

    /// Replaces `%name%` by what `[Strings]` says. Directory numbers and unknown names stay.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut result = text.to_owned();
        for token in tokens(text) {
            if let Some(value) = self.strings.get(&token.to_ascii_lowercase()) {
                result = result.replace(&format!("%{token}%"), value);
            }
        }
        result
    }

    /// Whether `[Strings]` defines a name.
    pub(super) fn defines(&self, token: &str) -> bool {
        self.strings.contains_key(&token.to_ascii_lowercase())
    }

    fn take(&mut self, line: usize, content: &str) {
        if content.matches('"').count() % 2 == 1 {
            self.fault(line, "a quote that is not closed");
        } else if let Some(rest) = content.strip_prefix('[') {
            match rest.strip_suffix(']').map(str::trim) {
                Some(name) if !name.is_empty() && !name.contains(['[', ']', '"', ';']) => {
                    self.sections.push(Section {
                        name: name.to_owned(),
                        line,
                        entries: Vec::new(),
                    });
                }
                _ => self.fault(line, "not a section's name"),
            }
        } else if let Some(section) = self.sections.last_mut() {
            section.entries.push(entry(line, content));
        } else if self.faults.is_empty() {
            // Once: a file that is no INF at all would have nothing else.
            self.fault(line, "an entry before the first section");
        }
    }

    fn fault(&mut self, line: usize, what: &str) {
        self.faults.push((line, what.to_owned()));
    }
}

/// Whether two names are the same to Windows.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The names between percent signs. `%%` is a percent sign.
pub(super) fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        rest = &rest[start + 1..];
        let Some(end) = rest.find('%') else { break };
        let name = &rest[..end];
        if !name.is_empty() {
            found.push(name);
        }
        rest = &rest[end + 1..];
    }
    found
}

/// Whether a token is a directory's number rather than a string's name.
pub(super) fn is_directory(token: &str) -> bool {
    token.trim_start_matches('-').parse::<u32>().is_ok()
}

/// Lines without comments and outer blanks, continued ones joined, empty ones left out; each with the
/// number of its first physical line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, physical) in text.lines().enumerate() {
        let content = without_comment(physical).trim();
        let (number, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        if let Some(head) = content.strip_suffix('\\') {
            joined.push_str(head);
            open = Some((number, joined));
            continue;
        }
        joined.push_str(content);
        let joined = joined.trim();
        if !joined.is_empty() {
            lines.push((number, joined.to_owned()));
        }
    }
    lines.extend(open);
    lines
}

fn without_comment(line: &str) -> &str {
    match unquoted(line, ';').next() {
        Some(at) => &line[..at],
        None => line,
    }
}

/// Where a character stands outside quotes.
fn unquoted(text: &str, wanted: char) -> impl Iterator<Item = usize> + '_ {
    let mut quoted = false;
    text.char_indices().filter_map(move |(at, character)| {
        quoted ^= character == '"';
        (!quoted && character == wanted).then_some(at)
    })
}

fn entry(line: usize, content: &str) -> Entry {
    let (key, rest) = match unquoted(content, '=').next() {
        Some(at) => (Some(bare(&content[..at])), &content[at + 1..]),
        None => (None, content),
    };
    let mut fields = Vec::new();
    let mut start = 0;
    for at in unquoted(rest, ',') {
        fields.push(bare(&rest[start..at]));
        start = at + 1;
    }
    fields.push(bare(&rest[start..]));
    Entry { line, key, fields }
}

/// A field without its outer blanks and its quotes; a doubled quote inside quotes is a quote.
fn bare(field: &str) -> String {
    let mut result = String::new();
    let mut quoted = false;
    let mut characters = field.trim().chars().peekable();
    while let Some(character) = characters.next() {
        if character != '"' {
            result.push(character);
        } else if quoted && characters.peek() == Some(&'"') {
            characters.next();
            result.push('"');
        } else {
            quoted = !quoted;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_key_and_its_fields() {
        let inf = Inf::read("[A]\nKey = one , \"two, three\",,%four% ; five\n");
        let entry = &inf.sections[0].entries[0];
        assert_eq!(entry.line, 2);
        assert!(entry.is("KEY"));
        assert_eq!(entry.fields, ["one", "two, three", "", "%four%"]);
        assert_eq!(entry.field(9), "");
    }

    #[test]
    fn a_line_without_a_key_is_fields_alone() {
        let inf = Inf::read("[A]\nHKR,,\"a;b=c\",0x00010001,\"say \"\"no\"\"\"\n");
        let entry = &inf.sections[0].entries[0];
        assert_eq!(entry.key, None);
        assert_eq!(
            entry.fields,
            ["HKR", "", "a;b=c", "0x00010001", "say \"no\""]
        );
    }

    #[test]
    fn a_backslash_at_the_end_joins_lines() {
        let inf = Inf::read("[A]\nKey = one, \\ ; why\n  two\nother\n");
        let entries = &inf.sections[0].entries;
        assert_eq!(entries[0].fields, ["one", "two"]);
        assert_eq!(entries[0].line, 2);
        assert_eq!(entries[1].line, 4);
    }

    #[test]
    fn strings_replace_tokens_and_directories_stay() {
        let inf = Inf::read("[S]\nBinary = %13%\\%Name%.sys\n[Strings]\nname = \"driver\"\n");
        assert_eq!(inf.value("S", "Binary"), "%13%\\driver.sys");
        assert_eq!(tokens("%13%\\%Name%.sys, 5%% of %x%"), ["13", "Name", "x"]);
        assert!(is_directory("13") && is_directory("-1") && !is_directory("Name"));
        assert!(inf.defines("NAME") && !inf.defines("x"));
    }

    #[test]
    fn what_is_no_inf_is_named_by_line() {
        let inf = Inf::read("stray = 1\n[A\n[B]\nx = \"open\n");
        let lines: Vec<usize> = inf.faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }
}
