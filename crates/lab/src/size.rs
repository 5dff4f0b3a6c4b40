//! Sizes as people write them: `4096`, `0x1000`, `128K`, `1M`, `4GiB`.

/// Reads a number of bytes: decimal or `0x` hexadecimal, with K, M, G or T for powers of 1024 (`KB` and `KiB` mean
/// the same as `K`: storage limits are powers of two).
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let lower = trimmed.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return u64::from_str_radix(&digits.replace('_', ""), 16)
            .map_err(|_| format!("'{trimmed}' is not a hexadecimal number of at most 64 bits"));
    }
    let end = lower
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(lower.len());
    let (digits, unit) = lower.split_at(end);
    let number: u64 = digits
        .replace('_', "")
        .parse()
        .map_err(|_| format!("'{trimmed}' is not a size such as 4096, 0x1000, 128K, 1M or 4GiB"))?;
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        other => {
            return Err(format!(
                "'{other}' in '{trimmed}' is not a unit (use K, M, G or T)"
            ));
        }
    };
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("'{trimmed}' is more than 64 bits can hold"))
}

/// Reads a limit: a size, or `none` for no limit (as `unlimited` and the descriptor's 0xFFFFFFFF).
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse_limit(text: &str) -> Result<Limit, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "none" | "unlimited" => Ok(Limit(None)),
        _ => parse(text).map(|value| Limit(Some(value).filter(|&v| v != u64::from(u32::MAX)))),
    }
}

/// A limit that may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<u64>);

/// A size as a person would write it: the largest unit that divides it.
pub fn show(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (name, shift) in UNITS {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{} {name}", bytes >> shift);
        }
    }
    format!("{bytes} B")
}

/// A size rounded for tables: three digits and a unit.
pub fn about(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (name, shift) in UNITS {
        if bytes >= 1 << shift {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// A limit as a person would write it.
pub fn show_limit(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_sizes_in_many_ways() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4_096", 4096),
            ("0x1000", 4096),
            ("0X1_000", 4096),
            ("128K", 131_072),
            ("128k", 131_072),
            ("1M", 1 << 20),
            ("4GiB", 4 << 30),
            ("2 tb", 2 << 40),
            ("512b", 512),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        for (text, part) in [
            ("", "not a size"),
            ("K", "not a size"),
            ("12Q", "not a unit"),
            ("0xZZ", "not a hexadecimal"),
            ("16777216T", "64 bits"),
            ("-1", "not a size"),
            ("99999999999999999999", "not a size"),
        ] {
            let reason = parse(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn no_limit_has_three_spellings() {
        for text in ["none", "Unlimited", "0xFFFFFFFF"] {
            assert_eq!(parse_limit(text), Ok(Limit(None)));
        }
        assert_eq!(parse_limit("64K"), Ok(Limit(Some(65536))));
    }

    #[test]
    fn sizes_read_back() {
        for bytes in [0, 1, 512, 4096, 131_072, 1 << 30, (1 << 30) + 512] {
            let shown = show(bytes);
            assert_eq!(parse(&shown), Ok(bytes), "{shown}");
        }
        assert_eq!(about(1536), "1.5 KiB");
        assert_eq!(about(999), "999 B");
        assert_eq!(show_limit(None), "none");
    }
}
