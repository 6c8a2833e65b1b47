// The slice at the top of the window, which stays there when what is above it turns out longer.

/**
 * A place in the list of slices. Until its piece is here it is a guess: then it keeps its share of
 * the piece.
 */
export class Anchor {
  piece = 0;
  slice = 0;
  /** Pixels of the slice that are above the window. */
  pixels = 0;
  #guessedOf = 0; // how many slices its piece is thought to have; 0 once it was counted

  /** Put it where a number of pixels of the list is above the window. */
  moveTo(position, height, layout) {
    const slice = Math.floor(position / height);
    [this.piece, this.slice] = layout.locate(slice);
    this.pixels = position - slice * height;
    this.#guessedOf = layout.isCounted(this.piece) ? 0 : layout.count(this.piece);
  }

  /** Pixels of the list above it. */
  position(height, layout) {
    return (layout.before(this.piece) + this.slice) * height + this.pixels;
  }

  /** Its piece was counted: it has so many slices. */
  counted(total) {
    if (this.#guessedOf) this.slice = Math.round((this.slice * total) / this.#guessedOf);
    this.slice = Math.max(Math.min(this.slice, total - 1), 0);
    this.#guessedOf = 0;
  }
}
