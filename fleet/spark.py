"""Answers the questions of this folder from a data set, by Apache Spark.

    pip install pyspark
    python fleet/spark.py data                                     every question, on this machine's CPUs
    spark-submit --master spark://HOST:7077 fleet/spark.py s3a://captures/data fleet/forks.sql

`data` is what `nsscope export --format parquet --partition-by host,date -o data` wrote. Prints a JSON object a line:
the question's name, and its rows.
"""

import argparse
import json
from decimal import Decimal
from pathlib import Path

from pyspark.sql import SparkSession

TABLES = ("events", "containers", "processes", "namespaces", "waits")


def plain(value):
    """As JSON has it: Spark reads 64 bits without a sign as a decimal number."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="the data set: a directory, or an address of an object store")
    parser.add_argument("queries", nargs="*", type=Path, help="files of SQL; those of this folder by default")
    parser.add_argument("--master", help="the cluster; by default what spark-submit says, else this machine")
    args = parser.parse_args()
    # The tables have times in ns, which Spark has no type for: it reads them as numbers.
    builder = SparkSession.builder.appName("nsscope").config("spark.sql.legacy.parquet.nanosAsLong", "true")
    # A host whose name is a number is no number.
    builder = builder.config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    if args.master:
        builder = builder.master(args.master)
    spark = builder.getOrCreate()
    for table in TABLES:
        spark.read.parquet(f"{args.data}/{table}").createOrReplaceTempView(table)
    for query in args.queries or sorted(Path(__file__).parent.glob("*.sql")):
        rows = spark.sql(query.read_text()).collect()
        print(json.dumps([query.stem, [[plain(value) for value in row] for row in rows]]), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
