//! What the driver says of itself in the registry: the values it works by, and who set them.

use ntsim::world::Stack;
use serde_json::{Value as Json, json};

use crate::report::several;
use crate::size::show;

/// The values under `Xfersplit\Effective` in the device's hardware key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Which requests it splits: SRB, class, relay or pass-through.
    pub shape: String,
    /// Why it passes everything through.
    pub reason: Option<String>,
    /// Most bytes in a command, and who set that.
    pub bytes: Option<(u32, String)>,
    /// Most pages in a command, and who set that.
    pub pages: Option<(u32, String)>,
    /// Bytes and pages that the stack above is told instead of the adapter's.
    pub advertised: Option<(u32, u32)>,
}

impl Effective {
    /// What the driver wrote at its start; none if there is no driver.
    pub(crate) fn of(stack: &Stack) -> Option<Self> {
        let value = |name: &str| stack.registry_value(&format!(r"Effective\{name}"));
        let number = |name: &str| value(name).and_then(|value| value.as_dword());
        let text = |name: &str| value(name).and_then(|value| value.as_text());
        Some(Self {
            shape: text("Shape")?,
            reason: text("Reason"),
            bytes: number("MaximumTransferLength").zip(text("TransferLengthSetBy")),
            pages: number("MaximumPhysicalPages").zip(text("PhysicalPagesSetBy")),
            advertised: number("AdvertisedTransferLength").zip(number("AdvertisedPhysicalPages")),
        })
    }

    /// The limits with who set them, or why there are none.
    pub fn limits(&self) -> String {
        if let Some(reason) = &self.reason {
            return format!("none: {reason}");
        }
        let by = |limit: &Option<(u32, String)>, text: fn(u32) -> String| {
            let (value, source) = limit.as_ref()?;
            let value = if *value == u32::MAX {
                "no limit".to_owned()
            } else {
                text(*value)
            };
            Some(format!("{value} ({source})"))
        };
        let bytes = by(&self.bytes, |bytes| show(u64::from(bytes)));
        let pages = by(&self.pages, |pages| several(u64::from(pages), "page"));
        [bytes, pages]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// For programs.
    pub fn to_json(&self) -> Json {
        let value = |limit: &Option<(u32, String)>| limit.as_ref().map(|(value, _)| *value);
        let source = |limit: &Option<(u32, String)>| limit.as_ref().map(|(_, by)| by.clone());
        json!({
            "shape": self.shape,
            "reason": self.reason,
            "maximum_transfer_length": value(&self.bytes),
            "transfer_length_set_by": source(&self.bytes),
            "maximum_physical_pages": value(&self.pages),
            "physical_pages_set_by": source(&self.pages),
            "advertised_transfer_length": self.advertised.map(|(bytes, _)| bytes),
            "advertised_physical_pages": self.advertised.map(|(_, pages)| pages),
        })
    }
}
