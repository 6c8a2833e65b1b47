"use strict";
// A file of its own: the page's Content-Security-Policy permits no script inside it.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // it would send the document to another server
});
