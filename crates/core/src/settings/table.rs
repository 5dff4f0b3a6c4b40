//! Every setting: name, range, default, and a sentence about it.

/// Which setting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each is documented by its row of SETTINGS")]
pub enum SettingId {
    MaximumTransferLength,
    MaximumPhysicalPages,
    AlignmentMask,
    NumberOfMapRegisters,
    PairedPort,
    HonorBlockLimits,
    Window,
    Pieces,
    Serial,
    MaxRetries,
    RetryDelayMs,
    PageRule,
    Shape,
    CdbLength,
    LbaBoundary,
    PhysicalSectorCuts,
    Balanced,
    MaxPieceBytes,
    Disabled,
    AllowBootDevice,
    Advertise,
    AdvertisedTransferLength,
}

/// What the number of a setting means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// 0 no, 1 yes.
    Switch,
    /// One of a few meanings, named in the text.
    Choice,
    /// Bits `2^n - 1`.
    Mask,
}

/// One setting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SettingInfo {
    /// Which one.
    pub id: SettingId,
    /// Name of the registry value.
    pub name: &'static str,
    /// What the number means.
    pub kind: Kind,
    /// The least allowed.
    pub minimum: u32,
    /// The most allowed.
    pub maximum: u32,
    /// What holds when the value is not there; `None` where that depends on the device, as the text
    /// says.
    pub default: Option<u32>,
    /// What it is for.
    pub text: &'static str,
}

impl SettingInfo {
    /// Whether the setting may have this value.
    pub const fn allows(&self, value: u32) -> bool {
        let shaped = match self.id {
            SettingId::AlignmentMask => value & value.wrapping_add(1) == 0,
            SettingId::CdbLength => matches!(value, 0 | 6 | 10 | 12 | 16),
            // 0 says "not set"; anything smaller than a sector says nothing useful.
            SettingId::MaximumTransferLength | SettingId::LbaBoundary => value == 0 || value >= 512,
            _ => true,
        };
        shaped && value >= self.minimum && value <= self.maximum
    }
}

impl SettingId {
    /// Its row in [`SETTINGS`].
    pub const fn info(self) -> &'static SettingInfo {
        let mut rest: &'static [SettingInfo] = &SETTINGS;
        while let [first, others @ ..] = rest {
            if first.id as u8 == self as u8 {
                return first;
            }
            rest = others;
        }
        // Every id has a row: tests/settings.rs walks them all.
        &SETTINGS[0]
    }

    /// Whether this value counts only under the device's own key: a larger limit told to every disk
    /// that uses the service would make each of their class drivers grow its packets.
    pub const fn is_device_only(self, value: u32) -> bool {
        matches!(self, Self::Advertise) && value == 2
    }

    /// The setting with this registry name. Registry names do not distinguish case.
    pub fn from_name(name: &str) -> Option<Self> {
        SETTINGS
            .iter()
            .find(|info| info.name.eq_ignore_ascii_case(name))
            .map(|info| info.id)
    }
}

/// A row in the order of the fields.
const fn row(
    id: SettingId,
    name: &'static str,
    kind: Kind,
    range: (u32, u32),
    default: Option<u32>,
    text: &'static str,
) -> SettingInfo {
    SettingInfo {
        id,
        name,
        kind,
        minimum: range.0,
        maximum: range.1,
        default,
        text,
    }
}

const ANY: (u32, u32) = (0, u32::MAX);
const SWITCH: (u32, u32) = (0, 1);

/// Every setting, in the order they are described.
pub static SETTINGS: [SettingInfo; 22] = [
    row(
        SettingId::MaximumTransferLength,
        "MaximumTransferLength",
        Kind::Bytes,
        ANY,
        Some(0),
        "Most bytes in one transfer, at least 512; 0: no limit of its own. Rounded down to \
         sectors, never raises the adapter's.",
    ),
    row(
        SettingId::MaximumPhysicalPages,
        "MaximumPhysicalPages",
        Kind::Count,
        ANY,
        Some(0),
        "Most pages one transfer may touch; 0: no limit of its own. Never raises the adapter's.",
    ),
    row(
        SettingId::AlignmentMask,
        "AlignmentMask",
        Kind::Mask,
        (0, 0xFFF),
        Some(0),
        "Stricter buffer alignment, 2^n - 1, asked of the stack above through the device \
         object; a buffer that breaks it is still sent.",
    ),
    row(
        SettingId::NumberOfMapRegisters,
        "NumberOfMapRegisters",
        Kind::Count,
        ANY,
        Some(0),
        "Map registers for one transfer; each maps one page. 0: no limit of its own.",
    ),
    row(
        SettingId::PairedPort,
        "PairedPort",
        Kind::Switch,
        SWITCH,
        Some(0),
        "The port driver knows the private interface: it is asked what it can take, at start and \
         again whenever that changes.",
    ),
    row(
        SettingId::HonorBlockLimits,
        "HonorBlockLimits",
        Kind::Choice,
        (0, 2),
        Some(1),
        "The device's own Block Limits page: 0 never asked for, 1 on buses whose devices \
         answer sanely, 2 on every bus.",
    ),
    row(
        SettingId::Window,
        "Window",
        Kind::Count,
        (1, 256),
        Some(4),
        "Pieces of one request in flight at a time.",
    ),
    row(
        SettingId::Pieces,
        "Pieces",
        Kind::Count,
        (0, 4096),
        Some(0),
        "Pieces in the device's pool; 0: as many as the memory budget allows, at least two.",
    ),
    row(
        SettingId::Serial,
        "Serial",
        Kind::Switch,
        SWITCH,
        Some(0),
        "One piece of a request at a time, in order.",
    ),
    row(
        SettingId::MaxRetries,
        "MaxRetries",
        Kind::Count,
        (0, 16),
        None,
        "Retries per piece. Not set: 3 in the class shape, 0 beneath or above a class driver, \
         which retries by itself.",
    ),
    row(
        SettingId::RetryDelayMs,
        "RetryDelayMs",
        Kind::Milliseconds,
        (0, 100_000),
        None,
        "Delay before a retry. Not set: by cause, as the class driver waits.",
    ),
    row(
        SettingId::PageRule,
        "PageRule",
        Kind::Choice,
        (0, 2),
        Some(0),
        "How pages are counted: 0 pages touched, 1 the documents' pages - 1 whenever a split \
         is needed, 2 physical breaks.",
    ),
    row(
        SettingId::Shape,
        "Shape",
        Kind::Choice,
        (0, 3),
        Some(0),
        "Kind of request: 0 by position in the stack, 1 SRB, 2 class, 3 relay.",
    ),
    row(
        SettingId::CdbLength,
        "CdbLength",
        Kind::Choice,
        (0, 16),
        Some(0),
        "Command block in the class shape: 0 by the size of the disk, else 6, 10, 12 or 16 bytes.",
    ),
    row(
        SettingId::LbaBoundary,
        "LbaBoundary",
        Kind::Bytes,
        ANY,
        Some(0),
        "No piece crosses a multiple of this many bytes on the disk, at least 512; 0: none.",
    ),
    row(
        SettingId::PhysicalSectorCuts,
        "PhysicalSectorCuts",
        Kind::Switch,
        SWITCH,
        Some(1),
        "End pieces of writes on physical sector boundaries where the device reports longer \
         physical sectors.",
    ),
    row(
        SettingId::Balanced,
        "Balanced",
        Kind::Switch,
        SWITCH,
        Some(0),
        "As many pieces as without, the longest as short as possible.",
    ),
    row(
        SettingId::MaxPieceBytes,
        "MaxPieceBytes",
        Kind::Bytes,
        (0x1_0000, 4088 * 4096),
        Some(0x80_0000),
        "Longest piece of a request that must be split, whatever the adapter takes.",
    ),
    row(
        SettingId::Disabled,
        "Disabled",
        Kind::Switch,
        SWITCH,
        Some(0),
        "Pass everything through.",
    ),
    row(
        SettingId::AllowBootDevice,
        "AllowBootDevice",
        Kind::Switch,
        SWITCH,
        Some(0),
        "Stay active beneath or above the class driver of a disk that carries boot, paging, dump \
         or hibernation files. Otherwise everything on it is passed through, unless the stack \
         above was told more than the adapter takes.",
    ),
    row(
        SettingId::Advertise,
        "Advertise",
        Kind::Choice,
        (0, 2),
        None,
        "What the class driver above is told: 0 the adapter's limits, 1 the effective ones, 2 \
         AdvertisedTransferLength (device's own key only). Not set: 1 as soon as they are \
         stricter. Limits of less than a page or fewer than two pages are never told: the class \
         driver could not keep them.",
    ),
    row(
        SettingId::AdvertisedTransferLength,
        "AdvertisedTransferLength",
        Kind::Bytes,
        (4096, 4 * 1024 * 1024),
        Some(0x10_0000),
        "Length told with Advertise 2, rounded down to pages.",
    ),
];
