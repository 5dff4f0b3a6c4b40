//! The tree of keys and values.

use std::collections::HashMap;

/// The type of a value, with the numbers of `winnt.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `REG_NONE`
    None,
    /// `REG_SZ`
    Sz,
    /// `REG_EXPAND_SZ`
    ExpandSz,
    /// `REG_BINARY`
    Binary,
    /// `REG_DWORD`
    Dword,
    /// `REG_MULTI_SZ`
    MultiSz,
    /// `REG_QWORD`
    Qword,
    /// Any other number.
    Other(u32),
}

impl Kind {
    /// The number that `Zw*` functions use.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Sz => 1,
            Self::ExpandSz => 2,
            Self::Binary => 3,
            Self::Dword => 4,
            Self::MultiSz => 7,
            Self::Qword => 11,
            Self::Other(code) => code,
        }
    }

    /// The kind for a number that a driver passed.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match code {
            0 => Self::None,
            1 => Self::Sz,
            2 => Self::ExpandSz,
            3 => Self::Binary,
            4 => Self::Dword,
            7 => Self::MultiSz,
            11 => Self::Qword,
            other => Self::Other(other),
        }
    }
}

/// A typed value. The bytes are what a driver gets: strings in UTF-16 with their terminator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What the bytes claim to be. Nothing checks that they are: the registry does not either.
    pub kind: Kind,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Value {
    /// A value of any kind and bytes, also ones that do not fit together.
    #[must_use]
    pub fn raw(kind: Kind, data: &[u8]) -> Self {
        Self {
            kind,
            data: data.to_vec(),
        }
    }

    /// A `REG_DWORD`.
    #[must_use]
    pub fn dword(value: u32) -> Self {
        Self::raw(Kind::Dword, &value.to_le_bytes())
    }

    /// A `REG_QWORD`.
    #[must_use]
    pub fn qword(value: u64) -> Self {
        Self::raw(Kind::Qword, &value.to_le_bytes())
    }

    /// A `REG_SZ` with its terminator.
    #[must_use]
    pub fn sz(text: &str) -> Self {
        Self {
            kind: Kind::Sz,
            data: utf16_bytes(text),
        }
    }

    /// A `REG_MULTI_SZ`: each string with its terminator, then the empty one.
    #[must_use]
    pub fn multi_sz(strings: &[&str]) -> Self {
        let mut data: Vec<u8> = strings.iter().flat_map(|text| utf16_bytes(text)).collect();
        data.extend([0, 0]);
        Self {
            kind: Kind::MultiSz,
            data,
        }
    }

    /// The number of a well-formed `REG_DWORD`.
    #[must_use]
    pub fn as_dword(&self) -> Option<u32> {
        let bytes: [u8; 4] = self.data.as_slice().try_into().ok()?;
        (self.kind == Kind::Dword).then(|| u32::from_le_bytes(bytes))
    }

    /// The text of a `REG_SZ` or `REG_EXPAND_SZ`, without terminators.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        if !matches!(self.kind, Kind::Sz | Kind::ExpandSz) {
            return None;
        }
        let units: Vec<u16> = self
            .data
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let end = units
            .iter()
            .position(|&unit| unit == 0)
            .unwrap_or(units.len());
        Some(String::from_utf16_lossy(&units[..end]))
    }
}

fn utf16_bytes(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// A key in the tree. Numbers are never used twice, so that a handle into a deleted key is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(u64);

struct Key {
    name: String,
    parent: Option<KeyId>,
    volatile: bool,
    children: Vec<KeyId>,
    values: Vec<(String, Value)>,
}

/// Why a key could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// The parent or one of its ancestors does not exist.
    NoParent,
    /// A key that survives a restart cannot live below one that does not.
    ParentIsVolatile,
}

/// The keys and values themselves.
pub struct Hive {
    keys: HashMap<KeyId, Key>,
    next: u64,
    root: KeyId,
}

impl Default for Hive {
    fn default() -> Self {
        let root = KeyId(0);
        let key = Key {
            name: String::new(),
            parent: None,
            volatile: false,
            children: Vec::new(),
            values: Vec::new(),
        };
        let mut hive = Self {
            keys: HashMap::from([(root, key)]),
            next: 1,
            root,
        };
        for path in [super::SERVICES, super::ENUM, super::CLASS] {
            hive.create_path(path, false);
        }
        hive
    }
}

impl Hive {
    /// The key at an absolute path such as `\Registry\Machine\System`.
    #[must_use]
    pub fn open_path(&self, path: &str) -> Option<KeyId> {
        self.open_below(self.root, path)
    }

    /// The key at a path relative to `key`; the empty path is `key` itself.
    #[must_use]
    pub fn open_below(&self, key: KeyId, path: &str) -> Option<KeyId> {
        self.keys.get(&key)?;
        components(path).try_fold(key, |at, name| self.child(at, name))
    }

    /// Makes every key of an absolute path that does not exist yet.
    pub fn create_path(&mut self, path: &str, volatile: bool) -> KeyId {
        let mut at = self.root;
        for name in components(path) {
            at = match self.child(at, name) {
                Some(child) => child,
                None => self.add_child(at, name, volatile),
            };
        }
        at
    }

    /// Makes the last key of a path below `key`, as `ZwCreateKey` does: ancestors must exist.
    ///
    /// # Errors
    ///
    /// [`CreateError`]: a missing ancestor, or a lasting key below a volatile one.
    pub fn create_below(
        &mut self,
        key: Option<KeyId>,
        path: &str,
        volatile: bool,
    ) -> Result<(KeyId, bool), CreateError> {
        let mut at = key.unwrap_or(self.root);
        if !self.keys.contains_key(&at) {
            return Err(CreateError::NoParent);
        }
        let mut names = components(path).peekable();
        while let Some(name) = names.next() {
            at = match self.child(at, name) {
                Some(child) => child,
                None if names.peek().is_some() => return Err(CreateError::NoParent),
                None if self.keys[&at].volatile && !volatile => {
                    return Err(CreateError::ParentIsVolatile);
                }
                None => return Ok((self.add_child(at, name, volatile), true)),
            };
        }
        Ok((at, false))
    }

    /// Whether the key is still there.
    #[must_use]
    pub fn exists(&self, key: KeyId) -> bool {
        self.keys.contains_key(&key)
    }

    /// Whether the key is lost at the next restart.
    #[must_use]
    pub fn is_volatile(&self, key: KeyId) -> bool {
        self.keys.get(&key).is_some_and(|key| key.volatile)
    }

    /// The absolute path of a key, for messages.
    #[must_use]
    pub fn path(&self, key: KeyId) -> String {
        let mut names = Vec::new();
        let mut at = self.keys.get(&key);
        while let Some(key) = at {
            names.push(key.name.as_str());
            at = key.parent.and_then(|parent| self.keys.get(&parent));
        }
        names.reverse();
        names.join("\\")
    }

    /// A value of a key.
    #[must_use]
    pub fn value(&self, key: KeyId, name: &str) -> Option<&Value> {
        self.keys
            .get(&key)?
            .values
            .iter()
            .find(|(known, _)| same_name(known, name))
            .map(|(_, value)| value)
    }

    /// Every value of a key, in the order of writing.
    #[must_use]
    pub fn values(&self, key: KeyId) -> Vec<(String, Value)> {
        self.keys
            .get(&key)
            .map(|key| key.values.clone())
            .unwrap_or_default()
    }

    /// Writes a value, replacing one of the same name.
    pub fn set_value(&mut self, key: KeyId, name: &str, value: Value) {
        let Some(key) = self.keys.get_mut(&key) else {
            return;
        };
        match key
            .values
            .iter_mut()
            .find(|(known, _)| same_name(known, name))
        {
            Some((_, old)) => *old = value,
            None => key.values.push((name.to_owned(), value)),
        }
    }

    /// Removes a value; false if there is none.
    pub fn delete_value(&mut self, key: KeyId, name: &str) -> bool {
        let Some(key) = self.keys.get_mut(&key) else {
            return false;
        };
        let before = key.values.len();
        key.values.retain(|(known, _)| !same_name(known, name));
        key.values.len() != before
    }

    /// Whether a key has keys below it; such a key cannot be deleted by a driver.
    #[must_use]
    pub fn has_children(&self, key: KeyId) -> bool {
        self.keys
            .get(&key)
            .is_some_and(|key| !key.children.is_empty())
    }

    /// Removes a key and everything below it.
    pub fn delete(&mut self, key: KeyId) {
        let Some(removed) = self.keys.remove(&key) else {
            return;
        };
        if let Some(parent) = removed.parent.and_then(|id| self.keys.get_mut(&id)) {
            parent.children.retain(|&child| child != key);
        }
        for child in removed.children {
            self.delete(child);
        }
    }

    /// Removes every volatile key.
    pub fn drop_volatile(&mut self) {
        let volatile: Vec<KeyId> = self
            .keys
            .iter()
            .filter(|(_, key)| key.volatile)
            .map(|(&id, _)| id)
            .collect();
        for key in volatile {
            self.delete(key);
        }
    }

    fn child(&self, key: KeyId, name: &str) -> Option<KeyId> {
        self.keys
            .get(&key)?
            .children
            .iter()
            .copied()
            .find(|child| same_name(&self.keys[child].name, name))
    }

    fn add_child(&mut self, parent: KeyId, name: &str, volatile: bool) -> KeyId {
        let id = KeyId(self.next);
        self.next += 1;
        self.keys.insert(
            id,
            Key {
                name: name.to_owned(),
                parent: Some(parent),
                volatile,
                children: Vec::new(),
                values: Vec::new(),
            },
        );
        if let Some(key) = self.keys.get_mut(&parent) {
            key.children.push(id);
        }
        id
    }
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('\\').filter(|name| !name.is_empty())
}

fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_uppercase() == b.to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_keep_their_first_spelling() {
        let mut hive = Hive::default();
        let key = hive.create_path(r"\Registry\Machine\Test", false);
        assert_eq!(hive.open_path(r"\REGISTRY\machine\TEST"), Some(key));
        assert_eq!(hive.path(key), r"\Registry\Machine\Test");
        hive.set_value(key, "Window", Value::dword(4));
        hive.set_value(key, "WINDOW", Value::dword(8));
        assert_eq!(hive.values(key), [("Window".to_owned(), Value::dword(8))]);
    }

    #[test]
    fn a_key_is_made_only_below_an_existing_one() {
        let mut hive = Hive::default();
        let machine = hive.open_path(r"\Registry\Machine").expect("root");
        assert_eq!(
            hive.create_below(Some(machine), r"A\B", false),
            Err(CreateError::NoParent)
        );
        let (a, made) = hive.create_below(Some(machine), "A", true).expect("A");
        assert!(made);
        assert_eq!(hive.create_below(Some(machine), "a", false), Ok((a, false)));
        assert_eq!(
            hive.create_below(Some(a), "B", false),
            Err(CreateError::ParentIsVolatile)
        );
    }

    #[test]
    fn a_restart_forgets_volatile_keys_only() {
        let mut hive = Hive::default();
        hive.create_path(r"\Registry\Machine\Lasting", false);
        let gone = hive.create_path(r"\Registry\Machine\Volatile\Below", true);
        assert!(hive.is_volatile(gone));
        hive.drop_volatile();
        assert!(!hive.exists(gone));
        assert_eq!(hive.open_path(r"\Registry\Machine\Volatile"), None);
        assert!(hive.open_path(r"\Registry\Machine\Lasting").is_some());
    }

    #[test]
    fn texts_and_numbers_read_back() {
        assert_eq!(Value::sz("disk").as_text().as_deref(), Some("disk"));
        assert_eq!(Value::dword(7).as_dword(), Some(7));
        assert_eq!(Value::raw(Kind::Dword, &[1, 2]).as_dword(), None);
        assert_eq!(Value::multi_sz(&["a"]).data, [b'a', 0, 0, 0, 0, 0]);
    }
}
