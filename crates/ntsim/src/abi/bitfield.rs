//! The helpers that bindgen writes into its output: bit fields, unions of flexible arrays.

use core::marker::PhantomData;

/// The storage of a run of C bit fields, least significant bit first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct __BindgenBitfieldUnit<Storage> {
    storage: Storage,
}

impl<const N: usize> __BindgenBitfieldUnit<[u8; N]> {
    pub const fn new(storage: [u8; N]) -> Self {
        Self { storage }
    }

    /// `bit_width` bits from `bit_offset`.
    pub fn get(&self, bit_offset: usize, bit_width: u8) -> u64 {
        (0..usize::from(bit_width))
            .filter(|bit| self.bit(bit_offset + bit))
            .fold(0, |value, bit| value | 1 << bit)
    }

    /// Writes the low `bit_width` bits of `value` at `bit_offset`.
    pub fn set(&mut self, bit_offset: usize, bit_width: u8, value: u64) {
        for bit in 0..usize::from(bit_width) {
            let (byte, mask) = Self::place(bit_offset + bit);
            if value >> bit & 1 == 1 {
                self.storage[byte] |= mask;
            } else {
                self.storage[byte] &= !mask;
            }
        }
    }

    fn bit(&self, index: usize) -> bool {
        let (byte, mask) = Self::place(index);
        self.storage[byte] & mask != 0
    }

    const fn place(index: usize) -> (usize, u8) {
        (index / 8, 1 << (index % 8))
    }
}

/// A member of a union that bindgen cannot write as a Rust union. Has no storage of its own.
#[repr(C)]
pub struct __BindgenUnionField<T>(PhantomData<T>);

impl<T> __BindgenUnionField<T> {
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for __BindgenUnionField<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for __BindgenUnionField<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for __BindgenUnionField<T> {}

/// Bytes that keep the place of something bindgen does not describe.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct __BindgenOpaqueArray<T>(pub T);
