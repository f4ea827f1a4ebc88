"""A flight on disk: every frame as the network saw it, and what else decided its record.

run --record DIR ──▶ DIR/recording.json, index.jsonl, frames-*.mkv or frames.mjpeg, records.jsonl
DIR ──run --source replay:DIR──▶ the same records, times aside
"""
