//! The simulated machine that a person asks for: adapter, disk, settings, faults and clock.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ntsim::Clock;
use ntsim::port::{Completion, Disk, FaultMix, Hba, Kind, Limits, OnViolation, PROFILES, profile};

use crate::error::{Error, Result};

/// Where the disk's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Medium {
    /// In memory; only what is written takes room.
    Memory {
        /// Size in bytes.
        bytes: u64,
    },
    /// In an image file, made if it is not there.
    Image {
        /// The file.
        path: PathBuf,
        /// Size in bytes of a file that is made.
        bytes: u64,
    },
    /// Nowhere: a pattern is read, and what is written is compared with it. Requests of any size take no memory.
    Pattern {
        /// Size in bytes.
        bytes: u64,
    },
}

/// Pages after which a pattern repeats: prime, so that it never repeats in step with pieces.
pub const PATTERN_PAGES: usize = 251;

/// Opens or makes the disk.
///
/// # Errors
/// The image cannot be used, or the sizes do not go together.
pub fn disk(medium: &Medium, sector: u32, physical: Option<u32>) -> Result<Disk> {
    let sectors = |bytes: u64| match bytes / u64::from(sector) {
        0 => Err(Error::Usage(format!(
            "a disk of {bytes} bytes has no sector of {sector}"
        ))),
        sectors => Ok(sectors),
    };
    let disk = match medium {
        Medium::Memory { bytes } => Disk::memory(sectors(*bytes)?, sector),
        Medium::Pattern { bytes } => Disk::pattern(sectors(*bytes)?, sector, PATTERN_PAGES),
        Medium::Image { path, bytes } => image(path, sectors(*bytes)?, sector)?,
    };
    match physical {
        None => Ok(disk),
        Some(bytes) if bytes.is_multiple_of(sector) && (bytes / sector).is_power_of_two() => {
            Ok(disk.physical(bytes, 0))
        }
        Some(bytes) => {
            let reason =
                format!("a physical sector of {bytes} bytes is no power of two of {sector}");
            Err(Error::Usage(reason))
        }
    }
}

fn image(path: &Path, sectors: u64, sector: u32) -> Result<Disk> {
    let exists = path
        .try_exists()
        .map_err(|error| Error::file(path, error.to_string()))?;
    let opened = if exists {
        Disk::image(path, sector)
    } else {
        Disk::create_image(path, sectors, sector)
    };
    opened.map_err(|error| Error::file(path, error.to_string()))
}

/// The adapter of that name.
///
/// # Errors
/// A sentence with the names there are.
pub fn adapter(name: &str) -> std::result::Result<Hba, String> {
    let found = profile(name).ok_or_else(|| {
        let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
        format!(
            "no adapter is called '{name}'; there are: {}",
            names.join(", ")
        )
    })?;
    Ok(Hba::from_profile(*found))
}

/// Changes of an adapter's limits; what is none stays as the profile has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// `MaximumTransferLength`.
    pub bytes: Option<u32>,
    /// `MaximumPhysicalPages`.
    pub pages: Option<u32>,
    /// `AlignmentMask`.
    pub mask: Option<u32>,
}

impl Changes {
    fn apply(self, limits: Limits) -> Limits {
        Limits {
            bytes: self.bytes.unwrap_or(limits.bytes),
            pages: self.pages.unwrap_or(limits.pages),
            alignment_mask: self.mask.unwrap_or(limits.alignment_mask),
        }
    }
}

/// An adapter that says `said` and takes `taken`, where those change anything; it never takes more than it says.
pub fn with_limits(hba: Hba, said: Changes, taken: Changes) -> Hba {
    let advertised = said.apply(hba.current().advertised);
    let actual = taken.apply(said.apply(hba.current().actual));
    let actual = Limits {
        bytes: actual.bytes.min(advertised.bytes),
        pages: actual.pages.min(advertised.pages),
        alignment_mask: actual.alignment_mask.max(advertised.alignment_mask),
    };
    hba.advertised(advertised).actual(actual)
}

/// What happens beyond the adapter's limits, by name.
///
/// # Errors
/// A sentence with the names there are.
pub fn on_violation(name: &str) -> std::result::Result<OnViolation, String> {
    match name {
        "record" => Ok(OnViolation::Record),
        "error" => Ok(OnViolation::Error),
        "bus-reset" => Ok(OnViolation::BusReset),
        "hang" => Ok(OnViolation::Hang),
        "short" => Ok(OnViolation::Short),
        other => Err(format!(
            "'{other}' is not record, error, bus-reset, hang or short"
        )),
    }
}

/// Latencies as `inline`, `20us`, `50us-2ms`, in 100 ns units.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn completion(text: &str) -> std::result::Result<Completion, String> {
    if text == "inline" {
        return Ok(Completion::Inline);
    }
    let (low, high) = text
        .split_once('-')
        .map_or((text, None), |(low, high)| (low, Some(high)));
    let start = duration(low)?;
    let end = high.map_or(Ok(start.saturating_add(1)), duration)?;
    let range: Range<u64> = start..end;
    if range.is_empty() {
        return Err(format!("'{text}' is an empty range"));
    }
    Ok(Completion::Later(range))
}

fn duration(text: &str) -> std::result::Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("'{text}' is not a time such as 20us or 2ms"))?;
    let units = match unit {
        "us" | "µs" => 10,
        "ms" => 10_000,
        "s" => 10_000_000,
        other => {
            return Err(format!(
                "'{other}' in '{text}' is not a unit (use us, ms or s)"
            ));
        }
    };
    number
        .checked_mul(units)
        .ok_or_else(|| format!("'{text}' is too long"))
}

/// Faults with their chances, as `busy=1%,short=0.1%`, or `all=0.1%` for every kind but hangs.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn faults(text: &str) -> std::result::Result<FaultMix, String> {
    let mut mix = FaultMix::new();
    let mut total = 0.0;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, chance) = part
            .split_once('=')
            .ok_or_else(|| format!("'{part}' is not KIND=PERCENT%"))?;
        let percent = chance.strip_suffix('%').unwrap_or(chance);
        let percent: f64 = percent
            .parse()
            .map_err(|_| format!("'{chance}' is not a percentage"))?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("'{chance}' is not between 0% and 100%"));
        }
        let chance = percent / 100.0;
        if name == "all" {
            mix = mix.everything(chance);
            let kinds = Kind::ALL.iter().filter(|kind| **kind != Kind::Hang);
            total += kinds.map(|_| chance).sum::<f64>();
        } else {
            let kind = Kind::from_name(name).ok_or_else(|| unknown_fault(name))?;
            mix = mix.with(kind, chance);
            total += chance;
        }
    }
    if total > 1.0 {
        return Err("the chances add up to more than 100%".into());
    }
    Ok(mix)
}

fn unknown_fault(name: &str) -> String {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    format!(
        "no fault is called '{name}'; there are: all, {}",
        names.join(", ")
    )
}

/// A registry setting, as `Window=8`; the value may be a size.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn setting(text: &str) -> std::result::Result<(String, u32), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("'{text}' is not NAME=VALUE"))?;
    let Some(id) = xfersplit_core::settings::SettingId::from_name(name) else {
        let names = xfersplit_core::settings::SETTINGS
            .iter()
            .map(|info| info.name);
        let names = names.collect::<Vec<_>>().join(", ");
        return Err(format!("no setting is called '{name}'; there are: {names}"));
    };
    let value = crate::size::parse(value)?;
    let value = u32::try_from(value).map_err(|_| format!("{value} does not fit a REG_DWORD"))?;
    // The driver would ignore it and say so in a log that nobody here reads.
    let info = id.info();
    if !info.allows(value) {
        let (name, least, most) = (info.name, info.minimum, info.maximum);
        return Err(format!(
            "{name} = {value} would be ignored: {least} to {most} ({})",
            info.text
        ));
    }
    Ok((name.to_owned(), value))
}

/// The clock: everything in one order that follows from the seed, or on that many real processors.
pub fn clock(processors: Option<usize>, seed: u64) -> Clock {
    match processors {
        None => Clock::Deterministic { seed },
        Some(processors) => Clock::Threads { processors, seed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies() {
        assert_eq!(completion("inline"), Ok(Completion::Inline));
        assert_eq!(completion("20us"), Ok(Completion::Later(200..201)));
        assert_eq!(
            completion("1ms-2s"),
            Ok(Completion::Later(10_000..20_000_000))
        );
        for (text, part) in [
            ("20", "''"),
            ("x", "not a time"),
            ("2ms-1ms", "empty"),
            ("1h", "'h'"),
        ] {
            let reason = completion(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn fault_mixes() {
        assert!(faults("busy=1%,short=0.5").is_ok());
        assert!(faults("all=1%").is_ok());
        for (text, part) in [
            ("busy", "not KIND=PERCENT%"),
            ("busy=x", "not a percentage"),
            ("busy=101%", "not between"),
            ("gremlins=1%", "no fault is called 'gremlins'"),
            ("all=10%", "more than 100%"),
        ] {
            let reason = faults(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn settings_are_those_of_the_driver() {
        assert_eq!(setting("Window=8"), Ok(("Window".into(), 8)));
        assert_eq!(
            setting("MaximumTransferLength=64K"),
            Ok(("MaximumTransferLength".into(), 65536))
        );
        for (text, part) in [
            ("Window", "NAME=VALUE"),
            ("Widow=1", "no setting"),
            ("Window=4G", "REG_DWORD"),
        ] {
            let reason = setting(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn an_adapter_never_takes_more_than_it_says() {
        let said = Changes {
            bytes: Some(65536),
            ..Changes::default()
        };
        let hba = with_limits(Hba::unlimited(), said, Changes::default());
        assert_eq!(
            (hba.current().advertised.bytes, hba.current().actual.bytes),
            (65536, 65536)
        );
        let taken = Changes {
            bytes: Some(1 << 20),
            pages: Some(5),
            mask: None,
        };
        let hba = with_limits(Hba::unlimited(), said, taken);
        assert_eq!(
            (hba.current().actual.bytes, hba.current().actual.pages),
            (65536, 5)
        );
        assert!(adapter("no-such").unwrap_err().contains("ahci"));
    }

    #[test]
    fn disks_that_cannot_be_are_refused() {
        let small = Medium::Memory { bytes: 100 };
        assert!(disk(&small, 512, None).is_err());
        let fine = Medium::Memory { bytes: 1 << 20 };
        assert!(disk(&fine, 512, Some(1000)).is_err());
        assert_eq!(
            disk(&fine, 512, Some(4096))
                .expect("a disk")
                .geometry()
                .blocks,
            2048
        );
        let nowhere = Medium::Image {
            path: "/nowhere/at/all.img".into(),
            bytes: 1 << 20,
        };
        let error = disk(&nowhere, 512, None).unwrap_err();
        assert_eq!(error.exit_status(), 2);
    }
}
