//! Results as a table in Apache Parquet's format.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelzoo_base::json;
use modelzoo_model::label::{Label, LabelType};
use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use crate::error::Error;
use crate::readers::Entry;
use crate::replace::stage;
use crate::results::{Outcome, Record, ResultReader, Results};
use crate::writers::{FileFormat, Job, Writer, prepare_file};

/// The most rows that are held in memory at a time.
const GROUP: usize = 4096;
/// And the most bytes of them, but for one row.
const GROUP_BYTES: usize = 64 << 20;

pub(crate) const FORMAT: FileFormat = FileFormat {
    extensions: &["parquet"],
    writer: |path| Box::new(Table { path }),
};

struct Table {
    path: PathBuf,
}

impl Writer for Table {
    fn name(&self) -> &Path {
        &self.path
    }

    fn prepare(&self, job: &Job<'_>) -> Result<PathBuf, Error> {
        prepare_file(job, &self.path)
    }

    fn commit(&self, job: &Job<'_>, results: &Results) -> Result<Vec<PathBuf>, Error> {
        let failed =
            |error: ParquetError| Error::io("write", &self.path)(std::io::Error::other(error));
        let mut reader = results.reader()?;
        let staged = stage(&self.path, job.overwrite, |out| {
            let schema = Arc::new(schema(job).map_err(failed)?);
            let properties = WriterProperties::builder()
                .set_compression(Compression::UNCOMPRESSED)
                // Numbers of vectors hardly ever repeat.
                .set_column_dictionary_enabled(vector_column(job), false)
                .set_created_by(concat!("modelzoo ", env!("CARGO_PKG_VERSION")).to_owned())
                .build();
            let mut file =
                SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(failed)?;
            let columns = Columns::of(job.kind);
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for index in 0..job.dataset.len() {
                let row = Row::read(job, &mut reader, index)?;
                bytes += row.bytes();
                rows.push(row);
                if rows.len() == GROUP || bytes > GROUP_BYTES {
                    write_group(&mut file, columns, &rows).map_err(failed)?;
                    (rows, bytes) = (Vec::new(), 0);
                }
            }
            if !rows.is_empty() {
                write_group(&mut file, columns, &rows).map_err(failed)?;
            }
            file.close().map_err(failed)?;
            Ok(())
        })?;
        Ok(vec![staged.finish()?])
    }
}

/// The columns of a field.
#[derive(Clone, Copy)]
enum Columns {
    /// `<field>`, a list of f32.
    Vector,
    /// `<field>_label` and `<field>_confidence`.
    Class,
    /// `<field>`, FiftyOne's JSON as text, for labels that have parts.
    Json,
}

impl Columns {
    fn of(kind: LabelType) -> Self {
        if kind == LabelType::Vector {
            Self::Vector
        } else if kind == LabelType::Classification {
            Self::Class
        } else {
            Self::Json
        }
    }
}

/// What is written of one sample.
#[derive(Default)]
struct Row {
    sample: String,
    vector: Option<Vec<f32>>,
    /// The class, or the JSON.
    label: Option<String>,
    confidence: Option<f64>,
    error: Option<String>,
}

impl Row {
    fn bytes(&self) -> usize {
        self.sample.len()
            + self.label.as_ref().map_or(0, String::len)
            + self.vector.as_ref().map_or(0, |vector| vector.len() * 4)
    }

    fn read(job: &Job<'_>, results: &mut ResultReader<'_>, index: usize) -> Result<Self, Error> {
        let record = results.get(index)?;
        let mut row = Self {
            sample: sample(job, record.as_ref(), index)?,
            ..Self::default()
        };
        match record.map(|record| record.outcome) {
            None | Some(Outcome::Empty) => {}
            Some(Outcome::Failed(why)) => row.error = Some(why.to_owned()),
            Some(outcome) => match outcome.into_label() {
                Some(Label::Vector(vector)) => row.vector = Some(vector),
                Some(Label::Classification(label)) => {
                    row.label = label.label;
                    row.confidence = label.confidence;
                }
                Some(label) => {
                    let json = json::to_vec(&label.to_json());
                    row.label = Some(String::from_utf8_lossy(&json).into_owned());
                }
                None => {}
            },
        }
        Ok(row)
    }
}

/// The text of a row of texts, or the path of a file as stored.
fn sample(job: &Job<'_>, record: Option<&Record<'_>>, index: usize) -> Result<String, Error> {
    if let (false, Some(record)) = (job.dataset.is_of_texts(), record) {
        return Ok(record.key.to_owned());
    }
    Ok(match job.dataset.reader.entry(index)? {
        Some(Entry::Row { text, .. }) => text.unwrap_or_default(),
        Some(Entry::File { stored, .. }) => stored.unwrap_or_default(),
        None => String::new(),
    })
}

/// The column of the numbers of vectors.
fn vector_column(job: &Job<'_>) -> ColumnPath {
    let parts = [job.field.as_str(), "list", "element"];
    ColumnPath::new(parts.map(str::to_owned).to_vec())
}

fn schema(job: &Job<'_>) -> Result<Type, ParquetError> {
    let text = |name: &str, repetition| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_converted_type(ConvertedType::UTF8)
            .with_repetition(repetition)
            .build()
            .map(Arc::new)
    };
    let number = |name: &str, kind, repetition| {
        Type::primitive_type_builder(name, kind)
            .with_repetition(repetition)
            .build()
            .map(Arc::new)
    };
    let sample = if job.dataset.is_of_texts() {
        "text"
    } else {
        "filepath"
    };
    let field = job.field.as_str();
    let mut columns = vec![text(sample, Repetition::REQUIRED)?];
    match Columns::of(job.kind) {
        Columns::Vector => {
            let element = number("element", Physical::FLOAT, Repetition::REQUIRED)?;
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![element])
                .build()?;
            let vector = Type::group_type_builder(field)
                .with_repetition(Repetition::OPTIONAL)
                .with_converted_type(ConvertedType::LIST)
                .with_fields(vec![Arc::new(list)])
                .build()?;
            columns.push(Arc::new(vector));
        }
        Columns::Class => {
            let label = format!("{field}_label");
            let confidence = format!("{field}_confidence");
            columns.push(text(&label, Repetition::OPTIONAL)?);
            columns.push(number(&confidence, Physical::DOUBLE, Repetition::OPTIONAL)?);
        }
        Columns::Json => columns.push(text(field, Repetition::OPTIONAL)?),
    }
    columns.push(text("error", Repetition::OPTIONAL)?);
    Type::group_type_builder("samples")
        .with_fields(columns)
        .build()
}

fn write_group<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    columns: Columns,
    rows: &[Row],
) -> Result<(), ParquetError> {
    let mut group = file.next_row_group()?;
    let samples: Vec<ByteArray> = rows.iter().map(|row| row.sample.as_str().into()).collect();
    column::<ByteArrayType, W>(&mut group, &samples, None, None)?;
    let label = |row: &Row| row.label.as_deref().map(ByteArray::from);
    let error = |row: &Row| row.error.as_deref().map(ByteArray::from);
    match columns {
        Columns::Vector => vectors(&mut group, rows)?,
        Columns::Class => {
            optional::<ByteArrayType, W>(&mut group, rows, label)?;
            optional::<DoubleType, W>(&mut group, rows, |row| row.confidence)?;
        }
        Columns::Json => optional::<ByteArrayType, W>(&mut group, rows, label)?,
    }
    optional::<ByteArrayType, W>(&mut group, rows, error)?;
    group.close()?;
    Ok(())
}

/// One list per row, or none. A definition level says how much of `vector.list.element` is there,
/// a repetition level whether an element goes on with the list before it.
fn vectors<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Row],
) -> Result<(), ParquetError> {
    let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        match row.vector.as_deref() {
            None => {
                definition.push(0);
                repetition.push(0);
            }
            Some([]) => {
                definition.push(1);
                repetition.push(0);
            }
            Some(vector) => {
                values.extend_from_slice(vector);
                definition.extend(vector.iter().map(|_| 2));
                repetition.push(0);
                repetition.extend(vector.iter().skip(1).map(|_| 1));
            }
        }
    }
    column::<FloatType, W>(group, &values, Some(&definition), Some(&repetition))
}

/// One value per row, or none.
fn optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Row],
    value: impl Fn(&Row) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let all: Vec<Option<T::T>> = rows.iter().map(value).collect();
    let definition: Vec<i16> = all.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = all.into_iter().flatten().collect();
    column::<T, W>(group, &values, Some(&definition), None)
}

fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    definition: Option<&[i16]>,
    repetition: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column
        .typed::<T>()
        .write_batch(values, definition, repetition)?;
    column.close()
}
