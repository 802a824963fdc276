/** The one error that reading a results folder raises: it names the file, and where known the line and the column. */

export interface ResultsPlace {
  readonly file: string;
  /** 1-based; absent when the whole file is meant. */
  readonly line?: number;
  /** Column name of a CSV file, or dotted path of a JSON file. */
  readonly column?: string;
}

/** A results file is missing, unreadable or not of the form that the runner writes. */
export class ResultsError extends Error {
  readonly place: ResultsPlace;

  constructor(place: ResultsPlace, message: string) {
    const line = place.line === undefined ? '' : `:${place.line}`;
    const column = place.column === undefined ? '' : ` (${place.column})`;
    super(`${place.file}${line}${column}: ${message}`);
    this.name = 'ResultsError';
    this.place = place;
  }
}
