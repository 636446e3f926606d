"""The outbox: records that are put on disk, and are sent by this process or the next one."""
