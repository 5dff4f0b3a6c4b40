//! The settings of a device: what they are called, what they may be, and what they are worth.
//!
//! Every setting is a `REG_DWORD` under the device's hardware key `Xfersplit`, or under the
//! service's `Parameters` where it then holds for every device. Each is judged alone: one bad value
//! is ignored and logged with its name, and never keeps the others from counting or a disk from
//! starting.

use crate::limits::{Clamp, PieceCap};
use crate::plan::PageRule;

mod table;

pub use table::{Kind, SETTINGS, SettingId, SettingInfo};

/// Whether the device's own Block Limits page counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HonorBlockLimits {
    /// It is not asked for.
    Never,
    /// On buses whose devices answer VPD inquiries sanely.
    #[default]
    SaneBuses,
    /// On every bus. Some USB bridges hang on VPD inquiries.
    Always,
}

/// Which kind of request the device sees, where its position must not decide.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ShapeSetting {
    /// By position in the stack.
    #[default]
    Auto,
    /// SRBs, beneath the class driver.
    Srb,
    /// Reads and writes, directly above a port driver.
    Class,
    /// Reads and writes, above the class driver.
    Relay,
}

/// Which command block reads and writes get in the class shape.
pub use crate::cdb::CdbSize;

/// What the stack above is told about the adapter ([`crate::advertise`]). Counts beneath a class
/// driver only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advertise {
    /// What the adapter says itself.
    Adapter,
    /// The effective limits, so that the class driver splits; what the adapter says where they are
    /// too small for a class driver to obey.
    Effective,
    /// [`Settings::advertised_transfer_length`], so that the engine splits what the class driver
    /// does not. Device's own key only.
    Larger,
}

/// The value of a setting is outside its range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutOfRange {
    /// Which one.
    pub setting: SettingId,
    /// What it was to be.
    pub value: u32,
    /// The least allowed.
    pub minimum: u32,
    /// The most allowed.
    pub maximum: u32,
}

/// All settings of one device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// `MaximumTransferLength`, bytes.
    pub maximum_transfer_length: Option<u32>,
    /// `MaximumPhysicalPages`
    pub maximum_physical_pages: Option<u32>,
    /// `AlignmentMask`; a setting for the device object's alignment requirement, not for the
    /// planner.
    pub alignment_mask: Option<u32>,
    /// `NumberOfMapRegisters`
    pub number_of_map_registers: Option<u32>,
    /// `PairedPort`: ask the port driver through the private interface.
    pub paired_port: bool,
    /// `HonorBlockLimits`
    pub honor_block_limits: HonorBlockLimits,
    /// `Window`: pieces of one request in flight.
    pub window: u32,
    /// `Pieces` in the pool; `None` by budget.
    pub pieces: Option<u32>,
    /// `Serial`: one piece at a time.
    pub serial: bool,
    /// `MaxRetries` per piece; `None` is 3 in the class shape and 0 beneath or above a class driver,
    /// which retries by itself.
    pub max_retries: Option<u32>,
    /// `RetryDelayMs`; `None` is a delay by cause.
    pub retry_delay_ms: Option<u32>,
    /// `PageRule`
    pub page_rule: PageRule,
    /// `Shape`
    pub shape: ShapeSetting,
    /// `CdbLength`; `None` by the size of the disk.
    pub cdb_size: Option<CdbSize>,
    /// `LbaBoundary`, bytes.
    pub lba_boundary: Option<u64>,
    /// `PhysicalSectorCuts`
    pub physical_sector_cuts: bool,
    /// `Balanced`
    pub balanced: bool,
    /// `MaxPieceBytes`
    pub piece_cap: PieceCap,
    /// `Disabled`: pass everything through.
    pub disabled: bool,
    /// `AllowBootDevice`
    pub allow_boot_device: bool,
    /// `Advertise`; `None` is the effective limits as soon as they are stricter than the adapter's.
    pub advertise: Option<Advertise>,
    /// `AdvertisedTransferLength`, bytes.
    pub advertised_transfer_length: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            maximum_transfer_length: None,
            maximum_physical_pages: None,
            alignment_mask: None,
            number_of_map_registers: None,
            paired_port: false,
            honor_block_limits: HonorBlockLimits::SaneBuses,
            window: 4,
            pieces: None,
            serial: false,
            max_retries: None,
            retry_delay_ms: None,
            page_rule: PageRule::Spans,
            shape: ShapeSetting::Auto,
            cdb_size: None,
            lba_boundary: None,
            physical_sector_cuts: true,
            balanced: false,
            piece_cap: PieceCap::DEFAULT,
            disabled: false,
            allow_boot_device: false,
            advertise: None,
            advertised_transfer_length: 1024 * 1024,
        }
    }
}

impl Settings {
    /// Retries per piece in the class shape when nothing is set.
    pub const CLASS_RETRIES: u32 = 3;

    /// Takes the value of one setting, as a `REG_DWORD` holds it.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`], with the setting as it was, if the value is not one the setting may have.
    pub fn apply(&mut self, setting: SettingId, value: u32) -> Result<(), OutOfRange> {
        let info = setting.info();
        if !info.allows(value) {
            return Err(OutOfRange {
                setting,
                value,
                minimum: info.minimum,
                maximum: info.maximum,
            });
        }
        self.take(setting, value);
        Ok(())
    }

    /// Takes a value that is known to be allowed.
    fn take(&mut self, setting: SettingId, value: u32) {
        let limit = (value != 0).then_some(value);
        match setting {
            SettingId::MaximumTransferLength => self.maximum_transfer_length = limit,
            SettingId::MaximumPhysicalPages => self.maximum_physical_pages = limit,
            SettingId::AlignmentMask => self.alignment_mask = limit,
            SettingId::NumberOfMapRegisters => self.number_of_map_registers = limit,
            SettingId::PairedPort => self.paired_port = value != 0,
            SettingId::HonorBlockLimits => {
                self.honor_block_limits = match value {
                    0 => HonorBlockLimits::Never,
                    1 => HonorBlockLimits::SaneBuses,
                    _ => HonorBlockLimits::Always,
                }
            }
            SettingId::Window => self.window = value,
            SettingId::Pieces => self.pieces = limit,
            SettingId::Serial => self.serial = value != 0,
            SettingId::MaxRetries => self.max_retries = Some(value),
            SettingId::RetryDelayMs => self.retry_delay_ms = Some(value),
            SettingId::PageRule => {
                self.page_rule = match value {
                    0 => PageRule::Spans,
                    1 => PageRule::Document,
                    _ => PageRule::Breaks,
                }
            }
            SettingId::Shape => {
                self.shape = match value {
                    0 => ShapeSetting::Auto,
                    1 => ShapeSetting::Srb,
                    2 => ShapeSetting::Class,
                    _ => ShapeSetting::Relay,
                }
            }
            SettingId::CdbLength => self.cdb_size = CdbSize::from_length(value),
            SettingId::LbaBoundary => self.lba_boundary = limit.map(u64::from),
            SettingId::PhysicalSectorCuts => self.physical_sector_cuts = value != 0,
            SettingId::Balanced => self.balanced = value != 0,
            SettingId::MaxPieceBytes => self.piece_cap = PieceCap::new(value),
            SettingId::Disabled => self.disabled = value != 0,
            SettingId::AllowBootDevice => self.allow_boot_device = value != 0,
            SettingId::Advertise => {
                self.advertise = Some(match value {
                    0 => Advertise::Adapter,
                    1 => Advertise::Effective,
                    _ => Advertise::Larger,
                });
            }
            SettingId::AdvertisedTransferLength => self.advertised_transfer_length = value,
        }
    }

    /// What these settings ask of the limits.
    pub const fn clamp(&self) -> Clamp {
        Clamp {
            bytes: self.maximum_transfer_length,
            pages: self.maximum_physical_pages,
            map_registers: self.number_of_map_registers,
        }
    }

    /// Pieces of one request in flight.
    pub const fn effective_window(&self) -> u32 {
        if self.serial { 1 } else { self.window }
    }
}
