//! Stages vectors for a FiftyOneDataset and writes them, to measure what that costs:
//!
//! ```console
//! $ time cargo run --release -p modelzoo-data --example staging -- npy 100000 512
//! ```
//!
//! The arguments are the format (`npy`, `jsonl` or `parquet`), the number of samples, and the
//! numbers per vector.

use std::error::Error;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use modelzoo_data::{
    Dataset, FieldName, Label, LabelType, Output, ResultSink, SinkOptions, Written,
};

/// Vectors that differ; what is stored does not compress because they repeat.
const DISTINCT: usize = 61;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let format = arguments.next().unwrap_or_else(|| "npy".to_owned());
    let mut number = |default| match arguments.next() {
        Some(number) => number.parse(),
        None => Ok(default),
    };
    let (samples, width) = (number(100_000)?, number(512)?);
    let directory = tempfile::tempdir()?;
    write_dataset(directory.path(), samples)?;
    let output = directory.path().join("vectors").with_extension(format);
    embed(directory.path(), &output, &vectors(width))?;
    let bytes = fs::metadata(&output)?.len();
    writeln!(
        std::io::stdout(),
        "{samples} vectors of {width}: {bytes} bytes"
    )?;
    Ok(())
}

fn write_dataset(directory: &Path, samples: usize) -> std::io::Result<()> {
    fs::write(directory.join("metadata.json"), "{}")?;
    let mut list = BufWriter::new(fs::File::create(directory.join("samples.json"))?);
    write!(list, "{{\"samples\": [{{\"filepath\": \"0.png\"}}")?;
    for index in 1..samples {
        write!(
            list,
            ", {{\"_id\": {{\"$oid\": \"{index:024x}\"}}, \"filepath\": \"data/{index}.png\", \"tags\": []}}"
        )?;
    }
    list.write_all(b"]}")?;
    list.flush()
}

/// Numbers between -1 and 1 with all bits of their fractions in use.
fn vectors(width: usize) -> Vec<Label> {
    let mut state = 1_u64;
    let mut number = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (0..DISTINCT)
        .map(|_| Label::Vector((0..width).map(|_| number()).collect()))
        .collect()
}

fn embed(dataset: &Path, output: &Path, vectors: &[Label]) -> Result<Written, Box<dyn Error>> {
    let dataset = Dataset::open(dataset)?;
    let field: FieldName = "embedding".parse()?;
    let options = SinkOptions {
        output: Output::Path(output.to_owned()),
        ..SinkOptions::default()
    };
    let mut sink = ResultSink::open(&dataset, &field, LabelType::Vector, options)?;
    for (sample, vector) in dataset.samples().zip(vectors.iter().cycle()) {
        sink.put(&sample?.key(), Some(vector))?;
    }
    Ok(sink.commit()?)
}
