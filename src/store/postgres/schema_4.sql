-- Who may ask from afar: nobody who is not here.
CREATE TABLE farpost.operators (
    name       text PRIMARY KEY,
    state      text NOT NULL,
    access     text NOT NULL,
    since      bigint NOT NULL,
    first_seen bigint,
    last_seen  bigint,
    address    text NOT NULL,
    server     text,
    pinned_key bytea
);
