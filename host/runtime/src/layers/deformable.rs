//! Deformable attention, with its projections.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Activation, DeformableShape, Isa, References};

use super::cpu;
use super::linear::Linear;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::precision::full;
use crate::weights::Scope;

/// Projections to values, offsets and scores, the attention, and the projection of its result.
pub(crate) struct DeformableAttention {
    name: String,
    heads: usize,
    points: Vec<usize>,
    /// None where the tokens are the values.
    values: Option<Linear>,
    offsets: Linear,
    scores: Linear,
    /// None where what is taken is the result.
    out: Option<Linear>,
    device: Device,
}

impl DeformableAttention {
    /// Reads `sampling_offsets` and `attention_weights`, and where `projects` `value_proj` and
    /// `output_proj`, all with a bias; `points` are the places per head of each feature map.
    pub(crate) fn load(
        scope: &Scope<'_>,
        [width, heads]: [usize; 2],
        points: &[usize],
        projects: bool,
        device: &Device,
    ) -> Result<Self, Error> {
        let linear = |name: &str, outputs| {
            let (scope, none) = (scope.child(name), Activation::Identity);
            Linear::load(&scope, [width, outputs], true, None, none, device)
        };
        let places = heads * points.iter().sum::<usize>();
        let projection = |name: &str| projects.then(|| linear(name, width)).transpose();
        Ok(Self {
            name: scope.name().to_owned(),
            heads,
            points: points.to_vec(),
            values: projection("value_proj")?,
            offsets: linear("sampling_offsets", 2 * places)?,
            scores: linear("attention_weights", places)?,
            out: projection("output_proj")?,
            device: device.clone(),
        })
    }

    /// `queries`, `[batch, queries, width]`, take values of `tokens`, `[batch, tokens, width]`, which
    /// are those of all feature maps one after another, around `references`,
    /// `[batch, queries, 2 or 4]`; `residual` is added, where there is one.
    pub(crate) fn forward(
        &self,
        queries: &Tensor,
        tokens: &Tensor,
        levels: &[[usize; 2]],
        (references, kind): (&Tensor, References),
        residual: Option<&Tensor>,
    ) -> Result<Tensor, Error> {
        let values = match &self.values {
            Some(projection) => projection.forward(tokens)?,
            None => tokens.clone(),
        };
        let (batch, count, width) = queries.dims3()?;
        let shape = DeformableShape {
            batch,
            queries: count,
            heads: self.heads,
            head: width / self.heads.max(1),
            levels,
            points: &self.points,
            references: kind,
        };
        let fits = levels.len() == self.points.len()
            && values.dims() == [batch, shape.tokens(), width]
            && references.dims() == [batch, count, kind.length()];
        if !fits {
            let reason = format!(
                "{:?} tokens of {levels:?} and references {:?} for {:?} queries",
                tokens.dims(),
                references.dims(),
                queries.dims()
            );
            return Err(Error::bad_input(&self.name, reason));
        }
        let (offsets, scores) = (
            self.offsets.forward(queries)?,
            self.scores.forward(queries)?,
        );
        let taken = self.take(shape, [&values, &offsets, &scores, references])?;
        match (&self.out, residual) {
            (Some(out), residual) => out.compute(&taken, residual),
            (None, Some(residual)) => Ok((taken + residual)?),
            (None, None) => Ok(taken),
        }
    }

    /// On other devices than the CPU the places are still looked up there.
    fn take(&self, shape: DeformableShape<'_>, inputs: [&Tensor; 4]) -> Result<Tensor, Error> {
        let dims = [shape.batch, shape.queries, shape.heads * shape.head];
        check_size(&self.name, &dims)?;
        let compute = |inputs: &[&Tensor]| {
            cpu::many(inputs, &dims, |inputs| match inputs {
                [values, offsets, scores, references] => {
                    let inputs = [*values, *offsets, *scores, *references];
                    kernels::deformable_attention(Isa::detect(), shape, inputs)
                }
                _ => Ok(Vec::new()),
            })
        };
        match self.device.kernels() {
            Kernels::Own => Ok(compute(&inputs)?),
            Kernels::Candle => {
                let on_cpu = |x: &Tensor| -> candle_core::Result<Tensor> {
                    full(x)?.to_device(&candle_core::Device::Cpu)?.contiguous()
                };
                let inputs = inputs.map(on_cpu);
                let [values, offsets, scores, references] = inputs;
                let inputs = [&values?, &offsets?, &scores?, &references?];
                Ok(self.device.place(&compute(&inputs)?)?)
            }
        }
    }
}
