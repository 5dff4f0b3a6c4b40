//! What a device has done, for the line that it writes when it goes.

/// Makes `Counter`, one thing that is counted, and `Counters`, one device's. Each row is a variant with its
/// documentation, and the words that stand behind its number.
#[macro_export]
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// One thing that is counted.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Counter {
            $($(#[$doc])* $name),*
        }

        const NAMES: &[&str] = &[$($text),*];

        /// One device's counters. Relaxed: they order nothing.
        #[derive(Debug, Default)]
        pub(crate) struct Counters([core::sync::atomic::AtomicU64; NAMES.len()]);

        impl Counters {
            /// Counts one; how many there were before.
            pub(crate) fn add(&self, counter: Counter) -> u64 {
                let value = self.0.get(counter as usize);
                value.map_or(0, |value| {
                    value.fetch_add(1, core::sync::atomic::Ordering::Relaxed)
                })
            }
        }

        impl core::fmt::Display for Counters {
            fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut between = "";
                for (name, value) in NAMES.iter().zip(&self.0) {
                    let value = value.load(core::sync::atomic::Ordering::Relaxed);
                    if value != 0 {
                        write!(out, "{between}{value} {name}")?;
                        between = ", ";
                    }
                }
                if between.is_empty() {
                    out.write_str("nothing")
                } else {
                    Ok(())
                }
            }
        }
    };
}
