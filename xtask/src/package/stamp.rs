//! What stampinf does on Windows: the INF files out of the project's `.inx`.

use std::{env, fs, process::Command};

use crate::run;

/// The sources of the INF files, and what they become.
pub(crate) const INFS: &[(&str, &str)] = &[
    ("driver.inx", "xfersplit.inf"),
    ("xfersplit-class.inx", "xfersplit-class.inf"),
];

/// The architecture, as decorations call it.
const ARCHITECTURE: &str = "amd64";

/// What is written into the files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stamps {
    /// The package's version.
    pub(crate) version: String,
    /// KMDF's, from the driver model in Cargo.toml.
    pub(crate) framework: String,
    /// The day and minute of the sources.
    pub(crate) moment: Moment,
}

/// A moment in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment {
    pub(crate) year: i64,
    pub(crate) month: u32,
    pub(crate) day: u32,
    /// Minutes since midnight.
    pub(crate) minute: u32,
}

impl Moment {
    /// From seconds since 1970; the Gregorian calendar counted from March, so that leap days come last.
    pub(crate) fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u32,
            day: (day_of_year - (153 * shifted + 2) / 5 + 1) as u32,
            minute: (seconds.rem_euclid(86_400) / 60) as u32,
        }
    }

    /// `SOURCE_DATE_EPOCH`, or when the last commit was made.
    fn of_the_sources() -> Result<Self, String> {
        if let Ok(text) = env::var("SOURCE_DATE_EPOCH") {
            let seconds = text.trim().parse();
            return seconds
                .map(Self::of)
                .map_err(|_| format!("SOURCE_DATE_EPOCH is {text:?}, no number of seconds"));
        }
        let output = Command::new("git")
            .args(["log", "-1", "--format=%ct"])
            .current_dir(run::root())
            .output()
            .map_err(|error| format!("git did not start: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let seconds = text.trim().parse();
        seconds
            .map(Self::of)
            .map_err(|_| "no commit to take the date of; set SOURCE_DATE_EPOCH".into())
    }
}

impl Stamps {
    /// What the project's own files say.
    pub(crate) fn by_project() -> Result<Self, String> {
        let path = run::root().join("Cargo.toml");
        let manifest =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::of(&manifest, Moment::of_the_sources()?)
    }

    fn of(manifest: &str, moment: Moment) -> Result<Self, String> {
        let value = |key: &str| {
            let line = manifest
                .lines()
                .find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
            line.map(|value| value.trim().trim_matches('"').to_owned())
                .ok_or_else(|| format!("no {key} in Cargo.toml"))
        };
        let major = value("kmdf-version-major")?;
        let minor = value("target-kmdf-version-minor")?;
        Ok(Self {
            version: value("version")?,
            framework: format!("{major}.{minor}"),
            moment,
        })
    }

    /// The date and version of DriverVer. Where dates are equal Windows compares versions, so the fourth number
    /// is the minute of the day, as stampinf's is the time.
    pub(crate) fn driver_version(&self) -> String {
        let Moment {
            year,
            month,
            day,
            minute,
        } = self.moment;
        format!("{month:02}/{day:02}/{year:04},{}.{minute}", self.version)
    }

    /// The text of an INF, of one of the project's `.inx` files, with the lines' ends of Windows.
    pub(crate) fn apply_to(&self, inx: &str) -> Result<String, String> {
        let text =
            fs::read_to_string(run::root().join(inx)).map_err(|error| format!("{inx}: {error}"))?;
        self.stamped(&text)
            .map_err(|error| format!("{inx}: {error}"))
    }

    fn stamped(&self, text: &str) -> Result<String, String> {
        let mut dated = 0;
        let mut result = String::with_capacity(text.len() * 2);
        for line in text.lines() {
            if line.starts_with("DriverVer") {
                dated += 1;
                result.push_str("DriverVer   = ");
                result.push_str(&self.driver_version());
            } else {
                let line = line.replace("$ARCH$", ARCHITECTURE);
                result.push_str(&line.replace("$KMDFVERSION$", &self.framework));
            }
            result.push_str("\r\n");
        }
        if dated != 1 {
            return Err(format!("{dated} lines DriverVer, not one"));
        }
        match result
            .lines()
            .find(|line| line.contains('$') && !line.contains("$WINDOWS NT$"))
        {
            Some(line) => Err(format!("a variable that nothing fills in: {line}")),
            None => Ok(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inf;

    fn stamps() -> Stamps {
        let manifest =
            "version = \"1.2.3\"\nkmdf-version-major = 1\ntarget-kmdf-version-minor = 15\n";
        Stamps::of(manifest, Moment::of(1_709_208_061)).expect("all there")
    }

    #[test]
    fn seconds_are_days_and_minutes() {
        let shown = |seconds| {
            let Moment {
                year,
                month,
                day,
                minute,
            } = Moment::of(seconds);
            (year, month, day, minute)
        };
        assert_eq!(shown(0), (1970, 1, 1, 0));
        assert_eq!(shown(951_782_399), (2000, 2, 28, 1439));
        assert_eq!(shown(951_782_400), (2000, 2, 29, 0));
        assert_eq!(shown(1_709_208_061), (2024, 2, 29, 721));
        assert_eq!(shown(1_767_225_599), (2025, 12, 31, 1439));
        assert_eq!(shown(1_767_225_600), (2026, 1, 1, 0));
    }

    #[test]
    fn the_files_are_stamped_and_still_keep_every_rule() {
        let stamps = stamps();
        assert_eq!(stamps.driver_version(), "02/29/2024,1.2.3.721");
        for (inx, _) in INFS {
            let text = stamps.apply_to(inx).expect("it can be stamped");
            assert!(
                text.contains("\r\nDriverVer   = 02/29/2024,1.2.3.721\r\n"),
                "{inx}"
            );
            assert!(text.contains("KmdfLibraryVersion = 1.15\r\n"), "{inx}");
            assert!(text.contains("amd64"), "{inx}");
            assert_eq!(
                inf::complaints(text.as_bytes()),
                Vec::<String>::new(),
                "{inx}"
            );
            assert_eq!(stamps.apply_to(inx), Ok(text), "{inx}: the same again");
        }
    }

    #[test]
    fn what_cannot_be_stamped_is_said() {
        assert!(stamps().stamped("[Version]\n").is_err(), "no date");
        let twice = "DriverVer = a\nDriverVer = b\n";
        assert!(stamps().stamped(twice).is_err(), "two dates");
        let left = "DriverVer = a\nx = $OTHER$\n";
        assert!(stamps().stamped(left).is_err(), "a variable");
        assert!(
            Stamps::of("version = \"1\"\n", Moment::of(0)).is_err(),
            "no framework"
        );
    }

    #[test]
    fn the_project_says_what_is_stamped() {
        let stamps = Stamps::by_project().expect("all there");
        assert_eq!(stamps.framework, "1.15");
        assert_eq!(stamps.version, env!("CARGO_PKG_VERSION"));
    }
}
