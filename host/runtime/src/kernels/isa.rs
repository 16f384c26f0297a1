//! Which instructions the CPU has.

use std::sync::OnceLock;

/// A set of instructions that this CPU is known to have: a value of this type is the proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Isa(Level);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Level {
    /// What the target has anyway (SSE2, NEON), as the compiler uses it.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The best that this CPU has.
    pub(crate) fn detect() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            Self::available()
                .last()
                .copied()
                .unwrap_or(Self(Level::Portable))
        })
    }

    /// All that this CPU has, the best last.
    pub(crate) fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "on some targets there is only one")]
        let mut found = vec![Self(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self(Level::Avx2));
                if is_x86_feature_detected!("avx512f") {
                    found.push(Self(Level::Avx512));
                }
            }
        }
        found
    }

    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    pub(super) const fn level(self) -> Level {
        self.0
    }

    /// Runs `work` compiled for these instructions, as far as it is inlined.
    #[inline]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        self.run_with(
            #[inline(always)]
            |_| work(),
        )
    }

    /// As [`run`](Self::run), with the way to multiply and add.
    #[inline]
    pub(super) fn run_with<R>(self, work: impl FnOnce(MultiplyAdd) -> R) -> R {
        match self.0 {
            Level::Portable => work(MultiplyAdd::Apart),
            // SAFETY: `available` makes a value of this level only where the CPU has the features.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512(work) },
        }
    }
}

/// How products are added. It is a constant wherever it is inlined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum MultiplyAdd {
    /// As a product and a sum: where no instruction for both is sure to be there, a call for each
    /// value would take its place.
    Apart,
    /// With one instruction.
    #[cfg(target_arch = "x86_64")]
    Fused,
}

impl MultiplyAdd {
    /// `a * b + c`.
    #[inline(always)]
    pub(super) fn of(self, a: f32, b: f32, c: f32) -> f32 {
        match self {
            Self::Apart => a * b + c,
            #[cfg(target_arch = "x86_64")]
            Self::Fused => a.mul_add(b, c),
        }
    }

    /// The polynomial of `x` with these coefficients, the highest power's first.
    #[inline(always)]
    pub(super) fn polynomial<const N: usize>(self, x: f32, coefficients: [f32; N]) -> f32 {
        let mut sum = 0.0;
        for (at, coefficient) in coefficients.into_iter().enumerate() {
            sum = if at == 0 {
                coefficient
            } else {
                self.of(sum, x, coefficient)
            };
        }
        sum
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<R>(work: impl FnOnce(MultiplyAdd) -> R) -> R {
    work(MultiplyAdd::Fused)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
fn avx512<R>(work: impl FnOnce(MultiplyAdd) -> R) -> R {
    work(MultiplyAdd::Fused)
}
