-- The table that vector.yaml writes to. Records older than thirty days go by themselves.
CREATE DATABASE IF NOT EXISTS ringwall;
CREATE TABLE IF NOT EXISTS ringwall.flows
(
    time DateTime64(9, 'UTC'),
    seq UInt64,
    node_name LowCardinality(String),
    event LowCardinality(String),
    verdict LowCardinality(String),
    reason LowCardinality(String),
    direction LowCardinality(String),
    interface LowCardinality(String),
    source String,
    destination String,
    source_zone LowCardinality(String),
    destination_zone LowCardinality(String),
    policy LowCardinality(String),
    rule LowCardinality(String),
    cause LowCardinality(String),
    community_id String,
    bytes_sent UInt64,
    bytes_received UInt64
)
ENGINE = MergeTree
ORDER BY (node_name, event, time)
TTL toDateTime(time) + INTERVAL 30 DAY;
