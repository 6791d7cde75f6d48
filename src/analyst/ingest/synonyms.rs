//! The column names of common log formats and gateways, normalised: in lower case, without separators and without a unit at the end.

use super::columns::Role;

/// The names of each role, preferred ones first, separated by spaces.
pub(super) const SYNONYMS: &[(Role, &str)] = &[
    (
        Role::Time,
        "starttime timestamp starttimeunix startedat requesttime requesttimestamp requestedat createdat \
         created arrivaltime arrivedat datetime time eventtime ts date loggedat timestamputc timeutc \
         createdtime start startat observedtimestamp timeunix",
    ),
    (Role::End, "endtime endtimeunix endedat completedat finishedat end endat"),
    (
        Role::Model,
        "model modelname modelid responsemodel requestmodel llmmodel llmmodelname engine deployment \
         deploymentname modelversion",
    ),
    (
        Role::Input,
        "inputtokens prompttokens contexttokens prompttokencount inputtokencount requesttokens numinputtokens \
         numprompttokens ninputtokens nprompttokens tokensin tokensinput tokensprompt intokens inputlength \
         promptlength promptevalcount inputcontexttokens",
    ),
    (
        Role::Output,
        "outputtokens completiontokens generatedtokens candidatestokencount outputtokencount \
         completiontokencount responsetokens numoutputtokens numcompletiontokens noutputtokens \
         ncompletiontokens tokensout tokensoutput tokenscompletion outtokens outputlength completionlength \
         evalcount",
    ),
    (
        Role::Cached,
        "cachedtokens cachereadinputtokens cachedinputtokens cachedprompttokens \
         prompttokensdetailscachedtokens inputtokensdetailscachedtokens cachereadtokens \
         cachedcontenttokencount prompcachehittokens promptcachehittokens cachehittokens cacheread \
         inputcachedtokens prompttokenscached inputtokenscached",
    ),
    (
        Role::CacheWrite,
        "cachecreationinputtokens cachewriteinputtokens cachewritetokens cachecreationtokens \
         prompttokensdetailscachecreationtokens prompttokensdetailscachewritetokens",
    ),
    (
        Role::Latency,
        "latency duration totallatency requestduration responsetime elapsed elapsedtime e2elatency \
         endtoendlatency operationduration clientoperationduration totaltime requestlatency timetaken \
         totalduration",
    ),
    (Role::Cost, "cost spend totalcost responsecost price usagecost totalspend amount costtotal estimatedcost"),
];

/// The objects in which usage may be nested: the parts that may come before such a name, as `usage` in `usage.prompt_tokens`.
pub(super) const CONTAINERS: &str = "usage usagemetadata tokenusage response body attributes metrics data result llm genai client request \
     span message log event fields properties json operation tokencount";
