// Small pictures. They say nothing to screen readers; what they stand for is written beside them.
import { html } from "./ui.js";

const icon = (path) =>
  html`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <path d=${path} />
  </svg>`;

export const SearchIcon = () => icon("M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.3 10.3 14 14");
export const UploadIcon = () => icon("M8 10.5v-8M4.8 5.5 8 2.3l3.2 3.2M2.5 10v3.5h11V10");
export const StopIcon = () => icon("M4 4h8v8H4Z");
export const AgainIcon = () => icon("M13 8a5 5 0 1 1-1.6-3.7M13.2 1.8v3.2H10");
export const LockIcon = () => icon("M3.5 7.5h9v6h-9ZM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5");
export const BranchIcon = () =>
  icon("M4.5 5v6M4.5 5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Zm0 9a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3ZM11.5 6.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Zm0 0c0 2.5-4 2-6.6 4.4");
export const CloseIcon = () => icon("M4 4l8 8M12 4l-8 8");
export const FilterIcon = () => icon("M2 4h12M4.5 8h7M6.5 12h3");
