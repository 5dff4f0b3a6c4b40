//! Settings: every row of the table is true, and one bad value spoils nothing.

use xfersplit_core::cdb::CdbSize;
use xfersplit_core::limits::{Clamp, PieceCap};
use xfersplit_core::plan::PageRule;
use xfersplit_core::settings::{
    Advertise, HonorBlockLimits, Kind, OutOfRange, SETTINGS, SettingId, Settings, ShapeSetting,
};

#[test]
fn the_table_is_complete() {
    for (index, info) in SETTINGS.iter().enumerate() {
        assert_eq!(info.id as usize, index, "{}", info.name);
        assert_eq!(info.id.info(), info);
        assert_eq!(SettingId::from_name(info.name), Some(info.id));
        assert_eq!(
            SettingId::from_name(&info.name.to_uppercase()),
            Some(info.id)
        );
        assert!(info.minimum <= info.maximum, "{}", info.name);
        assert!(info.text.ends_with('.'), "{}", info.name);
        if info.kind == Kind::Switch {
            assert_eq!((info.minimum, info.maximum), (0, 1), "{}", info.name);
        }
    }
    assert_eq!(SettingId::from_name("Windows"), None);
}

/// The default a row names is the one that holds: applying it changes nothing.
#[test]
fn defaults_are_what_the_table_says() {
    for info in &SETTINGS {
        if let Some(default) = info.default {
            let mut settings = Settings::default();
            settings.apply(info.id, default).expect(info.name);
            assert_eq!(settings, Settings::default(), "{}", info.name);
        }
    }
}

#[test]
fn ranges_are_kept_one_by_one() {
    for info in &SETTINGS {
        let edges = [
            info.minimum.checked_sub(1),
            Some(info.minimum),
            Some(info.maximum),
            info.maximum.checked_add(1),
        ];
        for value in edges.into_iter().flatten() {
            let mut settings = Settings::default();
            let applied = settings.apply(info.id, value);
            let inside = value >= info.minimum && value <= info.maximum;
            if !inside {
                let refused = OutOfRange {
                    setting: info.id,
                    value,
                    minimum: info.minimum,
                    maximum: info.maximum,
                };
                assert_eq!(applied, Err(refused), "{}", info.name);
            }
            if applied.is_err() {
                assert_eq!(settings, Settings::default(), "{}", info.name);
            }
            assert_eq!(applied.is_ok(), info.allows(value), "{}", info.name);
        }
    }
}

#[test]
fn every_value_arrives() {
    let with = |id, value| {
        let mut settings = Settings::default();
        settings.apply(id, value).expect("in range");
        settings
    };
    let bytes = with(SettingId::MaximumTransferLength, 65536);
    assert_eq!(bytes.clamp().bytes, Some(65536));
    assert_eq!(
        with(SettingId::MaximumPhysicalPages, 17).clamp().pages,
        Some(17)
    );
    assert_eq!(
        with(SettingId::NumberOfMapRegisters, 5)
            .clamp()
            .map_registers,
        Some(5)
    );
    assert_eq!(Settings::default().clamp(), Clamp::default());
    assert_eq!(
        with(SettingId::AlignmentMask, 511).alignment_mask,
        Some(511)
    );
    assert_eq!(
        with(SettingId::HonorBlockLimits, 2).honor_block_limits,
        HonorBlockLimits::Always
    );
    assert_eq!(with(SettingId::Window, 16).effective_window(), 16);
    let mut serial = with(SettingId::Window, 16);
    serial.apply(SettingId::Serial, 1).expect("in range");
    assert_eq!(serial.effective_window(), 1);
    assert_eq!(with(SettingId::Pieces, 8).pieces, Some(8));
    assert_eq!(with(SettingId::MaxRetries, 0).max_retries, Some(0));
    assert_eq!(with(SettingId::RetryDelayMs, 250).retry_delay_ms, Some(250));
    assert_eq!(with(SettingId::PageRule, 1).page_rule, PageRule::Document);
    assert_eq!(with(SettingId::PageRule, 2).page_rule, PageRule::Breaks);
    assert_eq!(with(SettingId::Shape, 3).shape, ShapeSetting::Relay);
    assert_eq!(
        with(SettingId::CdbLength, 16).cdb_size,
        Some(CdbSize::Sixteen)
    );
    assert_eq!(
        with(SettingId::LbaBoundary, 65536).lba_boundary,
        Some(65536)
    );
    assert!(!with(SettingId::PhysicalSectorCuts, 0).physical_sector_cuts);
    assert!(with(SettingId::Balanced, 1).balanced);
    assert_eq!(
        with(SettingId::MaxPieceBytes, 1 << 20).piece_cap,
        PieceCap::new(1 << 20)
    );
    assert!(with(SettingId::Disabled, 1).disabled);
    assert!(with(SettingId::AllowBootDevice, 1).allow_boot_device);
    assert_eq!(
        with(SettingId::Advertise, 0).advertise,
        Some(Advertise::Adapter)
    );
    assert_eq!(
        with(SettingId::Advertise, 2).advertise,
        Some(Advertise::Larger)
    );
    let told = with(SettingId::AdvertisedTransferLength, 4 << 20);
    assert_eq!(told.advertised_transfer_length, 4 << 20);
}

#[test]
fn values_inside_the_range_that_mean_nothing() {
    for (id, bad) in [
        (SettingId::AlignmentMask, 5),
        (SettingId::AlignmentMask, 512),
        (SettingId::CdbLength, 8),
        (SettingId::MaximumTransferLength, 511),
        (SettingId::LbaBoundary, 1),
    ] {
        let mut settings = Settings::default();
        assert!(settings.apply(id, bad).is_err());
        assert_eq!(settings, Settings::default());
    }
}

#[test]
fn only_the_larger_advertisement_is_for_one_device() {
    for info in &SETTINGS {
        for value in 0..4 {
            let alone = info.id == SettingId::Advertise && value == 2;
            assert_eq!(info.id.is_device_only(value), alone);
        }
    }
}
