def split(rows: object) -> tuple[object, object]:
    return rows.drop(columns="species"), rows["species"]  # type: ignore[attr-defined]
