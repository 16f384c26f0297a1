//! Batch norm, which in inference is one scale and one shift per channel.

use candle_core::Tensor;

use crate::error::Error;
use crate::weights::Scope;

/// A batch norm with its running statistics.
#[derive(Clone, Debug)]
pub(crate) struct BatchNorm {
    /// In f64, so that folding rounds once.
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl BatchNorm {
    /// PyTorch's default epsilon.
    pub(crate) const EPS: f64 = 1e-5;

    /// Reads `weight`, `bias` (both unless `affine` is false), `running_mean` and `running_var`,
    /// each of `channels` values.
    pub(crate) fn load(
        scope: &Scope<'_>,
        channels: usize,
        eps: f64,
        affine: bool,
    ) -> Result<Self, Error> {
        let values = |name: &str| -> Result<Vec<f64>, Error> {
            let values = scope.get(name, &[channels])?.to_vec1::<f32>()?;
            Ok(values.into_iter().map(f64::from).collect())
        };
        let (weight, bias) = if affine {
            (values("weight")?, values("bias")?)
        } else {
            (vec![1.0; channels], vec![0.0; channels])
        };
        let (mean, variance) = (values("running_mean")?, values("running_var")?);
        let scale: Vec<f64> = weight
            .iter()
            .zip(&variance)
            .map(|(weight, variance)| weight / (variance + eps).sqrt())
            .collect();
        let shift = bias
            .iter()
            .zip(&mean)
            .zip(&scale)
            .map(|((bias, mean), scale)| bias - mean * scale)
            .collect();
        Ok(Self { scale, shift })
    }

    /// Folds the norm into the layer before it: `weight` has one part per channel, all of one length,
    /// `bias` one value per channel.
    pub(super) fn fold(&self, weight: &mut [f32], bias: &mut [f32]) {
        let part = weight.len() / self.scale.len().max(1);
        let parts = weight.chunks_exact_mut(part.max(1)).zip(bias);
        for ((part, bias), (scale, shift)) in parts.zip(self.scale.iter().zip(&self.shift)) {
            part.iter_mut()
                .for_each(|value| *value = rounded(f64::from(*value) * scale));
            *bias = rounded(f64::from(*bias) * scale + shift);
        }
    }

    /// The weight of a convolution without bias that the norm follows, and the bias of both as one.
    pub(crate) fn folded(&self, weight: &Tensor) -> Result<[Tensor; 2], Error> {
        let mut values = weight.flatten_all()?.to_vec1::<f32>()?;
        let mut biases = vec![0.0; self.scale.len()];
        self.fold(&mut values, &mut biases);
        let weight = Tensor::from_vec(values, weight.shape(), weight.device())?;
        let count = biases.len();
        let bias = Tensor::from_vec(biases, count, weight.device())?;
        Ok([weight, bias])
    }

    /// From a scale and a shift per channel.
    pub(crate) fn of(scale: Vec<f64>, shift: Vec<f64>) -> Self {
        Self { scale, shift }
    }

    /// The scales alone.
    pub(crate) fn without_shift(&self) -> Self {
        Self {
            scale: self.scale.clone(),
            shift: vec![0.0; self.shift.len()],
        }
    }

    /// The scales and the shifts.
    pub(super) fn values(&self) -> [Vec<f32>; 2] {
        [&self.scale, &self.shift].map(|values| values.iter().copied().map(rounded).collect())
    }
}

#[allow(clippy::cast_possible_truncation, reason = "rounded on purpose")]
fn rounded(value: f64) -> f32 {
    value as f32
}
